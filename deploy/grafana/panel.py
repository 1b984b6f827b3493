"""A dashboard in few words, and the JSON that Grafana wants for it.

A page is a list of panels; each says what it shows, in which unit, what a person sees in it, and
the queries with their legends. Where it stands follows from its width: panels fill rows of 24
columns from left to right. The queries go to whatever data source the page's variable names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

COLUMNS: Final = 24
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
SCHEMA_VERSION: Final = 39
"""Of Grafana 10.4; later ones bring it up to date by themselves."""

Kind = Literal["timeseries", "stat", "state-timeline", "table"]
Unit = Literal[
    "short", "s", "bytes", "Bps", "percentunit", "cps", "reqps", "currencyUSD", "bool_on_off"
]


@dataclass(frozen=True)
class Query:
    """An expression and what its series are called, such as `{{camera}}`."""

    expression: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One picture of a page."""

    title: str
    unit: Unit
    description: str
    """What it is and what a person sees in it."""
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    width: int = 12
    warn: float | None = None
    """From here it is red."""
    warn_below: float | None = None
    """Below this it is red."""

    @property
    def height(self) -> int:
        return 4 if self.kind == "stat" else 8

    def to_json(self, number: int, left: int, top: int) -> dict[str, Any]:
        """The panel at its place."""
        is_instant = self.kind in {"stat", "table"}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": left, "y": top, "w": self.width, "h": self.height},
            "fieldConfig": {
                "defaults": {
                    "unit": self.unit,
                    "color": {"mode": _COLORS.get(self.kind, "thresholds")},
                    "thresholds": self._thresholds(),
                },
                "overrides": [],
            },
            "options": _OPTIONS[self.kind],
            "transformations": [_LABELS_ONLY] if self.kind == "table" else [],
            "targets": [
                {
                    "refId": chr(ord("A") + index),
                    "datasource": SOURCE,
                    "expr": query.expression,
                    "legendFormat": query.legend,
                    "instant": is_instant,
                    "range": not is_instant,
                    "format": "table" if self.kind == "table" else "time_series",
                }
                for index, query in enumerate(self.queries)
            ],
        }

    def _thresholds(self) -> dict[str, Any]:
        steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
        if self.warn is not None:
            steps.append({"color": "red", "value": self.warn})
        if self.warn_below is not None:
            steps = [{"color": "red", "value": None}, {"color": "green", "value": self.warn_below}]
        return {"mode": "absolute", "steps": steps}


_COLORS: Final[dict[Kind, str]] = {"timeseries": "palette-classic"}
_LABELS_ONLY: Final = {
    "id": "organize",
    "options": {"excludeByName": dict.fromkeys(("Time", "Value", "__name__", "alertstate"), True)},
}
_OPTIONS: Final[dict[Kind, dict[str, Any]]] = {
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}},
    "stat": {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "background"},
    "state-timeline": {"showValue": "never", "legend": {"showLegend": False}},
    "table": {"showHeader": True},
}


@dataclass(frozen=True)
class Page:
    """One dashboard; its uid is also the name of its file."""

    uid: str
    title: str
    description: str
    panels: Sequence[Panel]

    def to_json(self) -> dict[str, Any]:
        """The whole dashboard."""
        uses_camera = any("$camera" in q.expression for p in self.panels for q in p.queries)
        return {
            "uid": f"cradle-{self.uid}",
            "title": self.title,
            "description": self.description,
            "tags": ["cradle"],
            "schemaVersion": SCHEMA_VERSION,
            "timezone": "browser",
            "refresh": "15s",
            "time": {"from": "now-3h", "to": "now"},
            "links": [
                {"type": "dashboards", "tags": ["cradle"], "title": "Cradle", "keepTime": True}
            ],
            "templating": {"list": [_DATA_SOURCE, *([_CAMERA] if uses_camera else [])]},
            "panels": [
                panel.to_json(number, left, top)
                for number, (panel, left, top) in enumerate(laid_out(self.panels), start=1)
            ],
        }


_DATA_SOURCE: Final = {
    "name": "datasource",
    "label": "Prometheus",
    "type": "datasource",
    "query": "prometheus",
}
_CAMERA: Final = {
    "name": "camera",
    "label": "Camera",
    "type": "query",
    "datasource": SOURCE,
    "query": "label_values(cradle_ingest_camera_online, camera)",
    "refresh": 2,
    "sort": 1,
    "multi": True,
    "includeAll": True,
    "allValue": ".*",
    "current": {"text": "All", "value": "$__all"},
}


def laid_out(panels: Sequence[Panel]) -> list[tuple[Panel, int, int]]:
    """Each panel with its left and top place; a row is as high as its highest panel."""
    placed: list[tuple[Panel, int, int]] = []
    left = top = height = 0
    for panel in panels:
        if left + panel.width > COLUMNS:
            left, top, height = 0, top + height, 0
        placed.append((panel, left, top))
        left, height = left + panel.width, max(height, panel.height)
    return placed
