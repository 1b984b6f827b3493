"""The dashboards: described here, written to `dashboards/` by `python -m deploy.grafana.make`."""
