"""Figures, alerts and dashboards on Kubernetes are those of one host, by the same names."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.make import files
from deploy.k8s import rules
from tests import promql
from tests.figures import declared_labels, families
from tests.k8s.custom import SCHEMAS
from tests.k8s.manifests import Manifest, built, of_kind, pods, with_components, workers
from tests.promql import promtool

PROMETHEUS = promql.REPOSITORY / "deploy/prometheus/prometheus.yaml"
BROKER = {"app.kubernetes.io/name": "broker"}
"""What both overlays and the broker's operator write on its pods."""
APPLIED_BYTES = 262_144
"""`kubectl apply` keeps the whole of what was applied in an annotation, which may have so much."""


@pytest.fixture(scope="module", params=["overlays/single-node", "overlays/production"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> list[Manifest]:
    """An overlay with monitoring; production has it."""
    if request.param == "overlays/production":
        return list(built(request.param))
    return with_components(tmp_path_factory.mktemp("monitored"), request.param, "monitoring")


def of(made: list[Manifest], kind: str) -> list[Manifest]:
    return [each for each in made if each["kind"] == kind]


# -- figures ------------------------------------------------------------------------------------


def targets(monitors: list[Manifest], labels: dict[str, str]) -> Iterator[tuple[str, str, str]]:
    """Job, path and parameters of all that is asked of a pod, as the operator's scrape has them."""
    for monitor in monitors:
        spec = monitor["spec"]
        if not spec["selector"]["matchLabels"].items() <= labels.items():
            continue
        for endpoint in spec["podMetricsEndpoints"]:
            job = labels.get(spec.get("jobLabel", ""), f"cradle/{monitor['metadata']['name']}")
            for relabeling in endpoint.get("relabelings", ()):
                if relabeling.get("targetLabel") == "job":
                    job = relabeling["replacement"]
            yield job, endpoint["path"], str(endpoint.get("params", {}))


def test_the_same_is_scraped_by_the_same_names_as_on_one_host(made: list[Manifest]) -> None:
    jobs = yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))["scrape_configs"]
    wanted = {
        (job["job_name"], job.get("metrics_path", "/metrics"), str(job.get("params", {})))
        for job in jobs
    }
    monitors = of(made, "PodMonitor")
    found = [each for pod in workers("base") for each in targets(monitors, pod.labels)]
    found += targets(monitors, BROKER)
    assert sorted(found) == sorted(wanted)


def test_no_other_pod_is_scraped_and_each_has_the_port_that_is_asked(made: list[Manifest]) -> None:
    monitors = of(made, "PodMonitor")
    for pod in pods("overlays/single-node"):
        ports = {port.get("name") for port in pod.container.get("ports", [])}
        asked = {
            endpoint["port"]
            for monitor in monitors
            if monitor["spec"]["selector"]["matchLabels"].items() <= pod.labels.items()
            for endpoint in monitor["spec"]["podMetricsEndpoints"]
        }
        assert asked <= ports
        assert bool(asked) == (pod.is_worker or pod.name == "broker"), pod.name


def test_an_instance_is_a_pod_by_its_name(made: list[Manifest]) -> None:
    named = {"sourceLabels": ["__meta_kubernetes_pod_name"], "targetLabel": "instance"}
    for monitor in of(made, "PodMonitor"):
        for endpoint in monitor["spec"]["podMetricsEndpoints"]:
            assert {"action": "replace", **named} in endpoint["relabelings"]


def test_no_label_of_our_own_gives_way_to_one_that_the_operator_writes(
    made: list[Manifest],
) -> None:
    """Beside job and instance: `generatePodMonitorConfig` in prometheus-operator's promcfg.go."""
    (monitor,) = (each for each in of(made, "PodMonitor") if each["metadata"]["name"] == "cradle")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    relabelings = endpoint.get("relabelings", ())
    dropped = {each["regex"] for each in relabelings if each["action"] == "labeldrop"}
    written = {"job", "instance", "namespace", "container", "pod", "endpoint"} - dropped
    for family in families():
        assert not declared_labels(family.name) & written, family.name


def test_one_node_without_monitoring_needs_nobodys_custom_resources() -> None:
    assert of_kind("overlays/single-node", *SCHEMAS) == []


# -- alerts -------------------------------------------------------------------------------------


def test_the_committed_rules_are_what_the_alerts_make(made: list[Manifest]) -> None:
    assert rules.TARGET.read_text(encoding="utf-8") == rules.file(), (
        "run: python -m deploy.k8s.rules"
    )
    (rule,) = of(made, "PrometheusRule")
    assert rule["spec"] == rules.rule()["spec"]


def test_the_rules_are_the_alerts_asking_in_our_namespace() -> None:
    made = [each for group in rules.rule()["spec"]["groups"] for each in group["rules"]]
    assert [{**each, "expr": ""} for each in made] == [
        {**each, "expr": ""} for each in promql.alert_rules()
    ]
    for ours, alert in zip(made, promql.alert_rules(), strict=True):
        assert [(each.metric, set(each.values)) for each in promql.selectors(ours["expr"])] == [
            (each.metric, {*each.values, ("namespace", "cradle")})
            for each in promql.selectors(alert["expr"])
        ]
        assert promql.groupings(ours["expr"]) == promql.groupings(alert["expr"])


def test_a_name_within_a_string_is_no_metric() -> None:
    expression = 'up{job="rabbitmq"} or cradle_x_total or absent(up{job=~"up|process_a"})'
    assert rules.within_namespace(expression) == (
        'up{namespace="cradle",job="rabbitmq"} or cradle_x_total{namespace="cradle"}'
        ' or absent(up{namespace="cradle",job=~"up|process_a"})'
    )


def trial(folder: Path, series: dict[str, str], at: str, expected: dict[str, list[Any]]) -> None:
    """Let promtool compute: by expression, the samples that there must be after some time."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules.rule()["spec"]))
    test = {
        "interval": "15s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": expression, "eval_time": at, "exp_samples": samples}
            for expression, samples in expected.items()
        ],
    }
    file = folder / "trial.yaml"
    file.write_text(
        yaml.safe_dump(
            {"rule_files": ["rules.yaml"], "evaluation_interval": "15s", "tests": [test]}
        )
    )
    promtool("test", "rules", file)


def test_prometheus_takes_the_rules_and_what_others_run_in_the_cluster_is_no_alert_of_ours(
    tmp_path: Path,
) -> None:
    others = {
        'up{namespace="shop",job="viewer",instance="a"}': "0x40",
        'up{namespace="shop",job="database",instance="a"}': "0x40",
        'up{namespace="shop",job="rabbitmq",instance="a"}': "0x40",
    }
    jobs = ("ingest", "encoder", "archiver", "analyzer", "viewer", "rabbitmq")
    ours = {f'up{{namespace="cradle",job="{job}",instance="b"}}': "1x40" for job in jobs}
    firing = 'ALERTS{alertname=~"TargetAway|StageAway|BrokerAway",alertstate="firing"}'
    trial(tmp_path, others | ours, "9m", {firing: []})
    away = 'up{namespace="cradle",job="archiver",instance="b"}'
    broken = {**others, **ours, away: "0x40"}
    trial(tmp_path, broken, "9m", {f"count({firing})": [{"labels": "{}", "value": 2}]})


# -- dashboards ---------------------------------------------------------------------------------


def test_every_dashboard_is_there_for_grafanas_sidecar(made: list[Manifest]) -> None:
    found: dict[str, str] = {}
    for each in of(made, "ConfigMap"):
        if each["metadata"].get("labels", {}).get("grafana_dashboard") == "1":
            found |= each["data"]
            # Under a name that stays: an old one would be shown beside the new one.
            (file,) = each["data"]
            assert each["metadata"]["name"] == f"cradle-dashboard-{file.removesuffix('.json')}"
            assert len(str(each).encode()) < APPLIED_BYTES
    assert found == files()


# -- the number of workers ------------------------------------------------------------------------


def query_of(stage: str) -> str:
    (scaled,) = (
        each
        for each in of_kind("overlays/production", "ScaledObject")
        if each["metadata"]["name"] == stage
    )
    (trigger,) = scaled["spec"]["triggers"]
    return str(trigger["metadata"]["query"])


@pytest.mark.parametrize("stage", ["encoder", "archiver"])
def test_no_worker_is_taken_away_because_the_broker_is_and_one_comes_for_a_camera_without_owner(
    stage: str, tmp_path: Path
) -> None:
    """What Seats serves in an outage of twenty minutes: nothing held, and nothing known."""

    def series(figure: str, pod: str) -> str:
        labels = f'namespace="cradle",stage="{stage}",pod="{pod}"'
        return f"cradle_seats_{figure}_cameras{{{labels}}}"

    away = {
        series("configured", "a"): "60x90",
        series("configured", "b"): "60x90",
        series("held", "a"): "30x9 0x80",
        series("held", "b"): "30x9 0x80",
        series("unowned", "a"): "0x90",
        series("unowned", "b"): "0x90",
    }
    trial(tmp_path, away, "20m", {query_of(stage): [{"labels": "{}", "value": 60}]})
    left_over = {**away, series("unowned", "b"): "0x40 6x49"}
    trial(tmp_path, left_over, "20m", {query_of(stage): [{"labels": "{}", "value": 66}]})
    # A look at a camera that changes hands is no lack of workers.
    moment = {**away, series("unowned", "b"): "0x77 6x3 0x10"}
    trial(tmp_path, moment, "20m", {query_of(stage): [{"labels": "{}", "value": 60}]})


@pytest.mark.parametrize("stage", ["encoder", "archiver"])
def test_a_stage_without_workers_is_brought_back(stage: str, tmp_path: Path) -> None:
    """From 0 the scaler does so for a number above 0, and for no answer it does nothing
    (`RequestScale` of kedacore/keda); the stage itself tells nothing then."""
    pod = 'namespace="cradle",stage="ingest",pod="ingest-0"'
    others = {f"cradle_seats_configured_cameras{{{pod}}}": "60x40"}
    trial(tmp_path, others, "9m", {query_of(stage): [{"labels": "{}", "value": 60}]})


@pytest.mark.parametrize("stage", ["encoder", "archiver"])
def test_nothing_is_asked_for_when_nothing_is_known(stage: str, tmp_path: Path) -> None:
    trial(tmp_path, {"up": "1x40"}, "9m", {query_of(stage): []})
