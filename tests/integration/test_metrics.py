"""What alert rules and dashboards name is what a running house serves: by a live scrape of all."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from deploy.local.status import fetch
from tests import promql
from tests.figures import declared_labels
from tests.services import BrokerService, StoreService
from tests.support import eventually
from tests.viewer_line import GENERATED, Watched, watched

JOBS: Final = yaml.safe_load(
    (promql.REPOSITORY / "deploy/prometheus/prometheus.yaml").read_text(encoding="utf-8")
)["scrape_configs"]
OF_THE_SCRAPE: Final = frozenset({"job", "instance"})
OF_PROMETHEUS: Final = {
    "up": OF_THE_SCRAPE,
    "ALERTS": OF_THE_SCRAPE | {"alertname", "alertstate", "severity"},
}
NOT_IN_A_HOUSE_THAT_IS_WELL: Final = {("state", "misconfigured")}
"""Values that a rule asks for and that are there only once something is wrong."""


@dataclass
class Served:
    """What all jobs together serve."""

    samples: dict[str, list[Mapping[str, str]]] = field(default_factory=lambda: defaultdict(list))
    """Labels of each sample, by the name of its metric."""
    declared: set[str] = field(default_factory=set)
    """Metrics that may have no sample yet."""

    def take(self, text: str, job: str) -> None:
        for family in text_string_to_metric_families(text):
            suffix = "_total" if family.type == "counter" else ""
            self.declared.add(family.name + suffix)
            for sample in family.samples:
                self.samples[sample.name].append({**sample.labels, "job": job, "instance": "x"})

    def labels_of(self, metric: str) -> frozenset[str]:
        """Labels that a metric has; of one without a sample, those that its code declares."""
        if metric in OF_PROMETHEUS:
            return OF_PROMETHEUS[metric]
        if metric in self.samples:
            return frozenset(label for labels in self.samples[metric] for label in labels)
        assert metric in self.declared, f"nobody serves {metric}"
        return OF_THE_SCRAPE | declared_labels(metric)


def scrape(house: Watched, broker: BrokerService) -> Served:
    """One scrape of every job of prometheus.yaml."""
    served = Served()
    for job in JOBS:
        name, path = job["job_name"], job.get("metrics_path", "/metrics")
        query = urlencode(job.get("params", {}), doseq=True)
        port = house.line.ports.get(name)
        base = broker.metrics_url if port is None else f"http://127.0.0.1:{port}"
        text = fetch(f"{base}{path}?{query}" if query else f"{base}{path}")
        assert text, f"{name} does not answer"
        served.take(text, name)
    return served


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, broker: BrokerService, store_service: StoreService
) -> Iterator[Served]:
    """Of a house in which each stage has done something."""
    if broker.metrics_url is None:
        pytest.skip("this broker has no Prometheus plugin")
    with (
        broker.virtual_host() as url,
        store_service.bucket() as archive,
        watched(tmp_path_factory.mktemp("house"), url, archive, [GENERATED]) as house,
    ):
        house.until_clips(1)
        fetch(f"{house.address}/login")

        def has_come() -> bool:
            line = house.line
            return (
                line.figure("analyzer", "cradle_analyzer_last_result_timestamp_seconds{") > 0
                and line.figure("ingest", "cradle_ingest_archived_up_to_timestamp_seconds{") > 0
                and line.figure("viewer", "cradle_viewer_index_read_timestamp_seconds{") > 0
                and line.figure("viewer", "cradle_viewer_request_seconds_count{") > 0
            )

        eventually(has_come, 60, "something of each stage", every_seconds=0.5)
        yield scrape(house, broker)


def check_labels(expression: str, served: Served) -> None:
    """Every label of a matcher, a `by` or an `on` is one that the metric has."""
    for selector in promql.selectors(expression):
        unknown = selector.labels - served.labels_of(selector.metric)
        assert not unknown, f"{selector.metric} has no {unknown}"
    for grouping in promql.groupings(expression):
        for metric in grouping.metrics:
            missing = set(grouping.labels) - served.labels_of(metric)
            assert not missing, f"{metric} has no {missing}"


@pytest.mark.parametrize("rule", promql.alert_rules(), ids=lambda rule: rule["alert"])
def test_an_alert_names_series_that_are_there_before_anything_goes_wrong(
    rule: dict[str, Any], served: Served
) -> None:
    check_labels(rule["expr"], served)
    for selector in promql.selectors(rule["expr"]):
        if selector.metric in OF_PROMETHEUS:
            continue
        wanted = [pair for pair in selector.values if pair not in NOT_IN_A_HOUSE_THAT_IS_WELL]
        assert any(
            all(labels.get(label) == value for label, value in wanted)
            for labels in served.samples.get(selector.metric, [])
        ), f"no series of {selector.metric} with {wanted}"


@pytest.mark.parametrize(
    ("where", "expression", "legend"),
    promql.dashboard_targets(),
    ids=[f"{where} {legend}".strip() for where, _, legend in promql.dashboard_targets()],
)
def test_a_dashboard_names_metrics_and_labels_that_are_served(
    where: str, expression: str, legend: str, served: Served
) -> None:
    check_labels(expression, served)
    told = set(re.findall(r"{{(\w+)}}", legend))
    kept = {label for each in promql.groupings(expression) for label in each.labels}
    if not kept:
        kept = {
            label
            for each in promql.selectors(expression)
            for label in served.labels_of(each.metric)
        }
    assert told <= kept, f"{where}: the legend names a label that is not there"
