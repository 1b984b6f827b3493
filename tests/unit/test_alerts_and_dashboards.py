"""Alert rules and dashboards as files: complete, up to date, each rule tried by promtool."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.grafana.make import files
from deploy.grafana.panel import Panel, laid_out
from shared.config import MetricsSettings
from shared.coverage.causes import Cause
from shared.messages import Stage
from tests import promql
from tests.promql import promtool

TRIALS = promql.REPOSITORY / "tests/alerts"
PROMETHEUS = promql.REPOSITORY / "deploy/prometheus/prometheus.yaml"
OPERATIONS = promql.REPOSITORY / "docs/OPERATIONS.md"
RULES = promql.alert_rules()
NAMES = [rule["alert"] for rule in RULES]


# -- alerts ----------------------------------------------------------------------------------------


def test_prometheus_takes_its_configuration_and_the_rules() -> None:
    promtool("check", "config", PROMETHEUS)


@pytest.mark.parametrize("file", sorted(TRIALS.glob("*.yaml")), ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_are_silent_when_they_should(file: Path) -> None:
    promtool("test", "rules", file)


def test_every_alert_has_a_trial_in_which_it_fires_and_one_in_which_it_is_silent() -> None:
    tried: set[tuple[str, bool]] = set()
    for file in TRIALS.glob("*.yaml"):
        for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            for trial in case["promql_expr_test"]:
                (selector,) = promql.selectors(trial["expr"])
                tried.add((dict(selector.values)["alertname"], bool(trial["exp_samples"])))
    assert tried == {(name, fires) for name in NAMES for fires in (True, False)}


def test_every_alert_says_what_a_person_does_and_where_it_is_explained() -> None:
    sections = re.findall(r"^### (\w+)$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(set(NAMES)) == len(NAMES)
    assert sections == NAMES, "one section each, in the order of the rules"
    for rule in RULES:
        notes = rule["annotations"]
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert notes["summary"]
        assert len(notes["description"]) > 60
        assert notes["runbook"] == f"docs/OPERATIONS.md#{rule['alert'].lower()}"


def test_operations_tells_every_cause_of_a_gap_and_its_links_lead_somewhere() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    told = {
        word.strip() for row in re.findall(r"^\| (.+?) \|", text, re.M) for word in row.split(",")
    }
    assert told >= {cause.value for cause in Cause}
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    anchors = {re.sub(r"[^\w-]", "", each.lower().replace(" ", "-")) for each in headings}
    assert set(re.findall(r"\(#([\w-]+)\)", text)) <= anchors
    for path in re.findall(r"\]\((?!#)([^)#]+)\)", text):
        assert (OPERATIONS.parent / path).exists(), path


def test_what_an_alert_says_of_its_labels_is_there_to_be_said() -> None:
    for rule in RULES:
        texts = " ".join(rule["annotations"].values())
        used = set(re.findall(r"\$labels\.(\w+)", texts))
        kept = {label for each in promql.groupings(rule["expr"]) for label in each.labels}
        if not kept:  # nothing is summed: all labels of the series
            kept = {"job", "instance"}
        assert used <= kept, rule["alert"]


def test_every_stage_is_scraped_at_its_own_port() -> None:
    jobs = yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))["scrape_configs"]
    found = {
        job["job_name"]: (job["dns_sd_configs"][0]["names"], job["dns_sd_configs"][0]["port"])
        for job in jobs
    }
    for stage in Stage:
        assert found.pop(stage.value) == ([stage.value], MetricsSettings().port_of(stage))
    assert found.keys() == {"rabbitmq", "rabbitmq-queues"}


# -- dashboards ------------------------------------------------------------------------------------


def test_the_committed_dashboards_are_what_the_descriptions_make() -> None:
    committed = {
        path.name: path.read_text(encoding="utf-8") for path in promql.DASHBOARDS.iterdir()
    }
    assert committed == files(), "run: python -m deploy.grafana.make"


def test_there_is_a_page_for_each_stage_one_for_the_broker_and_one_for_who_is_on_call() -> None:
    pages = promql.dashboards()
    assert pages.keys() == {f"{name}.json" for name in ("on-call", "rabbitmq", *Stage)}
    assert len({page["uid"] for page in pages.values()}) == len(pages)
    assert len({page["title"] for page in pages.values()}) == len(pages)


@pytest.mark.parametrize("page", promql.dashboards().values(), ids=promql.dashboards())
def test_every_panel_has_a_unit_a_description_a_query_and_asks_the_chosen_source(
    page: dict[str, Any],
) -> None:
    variables = {each["name"]: each for each in page["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert page["panels"]
    assert len({panel["id"] for panel in page["panels"]}) == len(page["panels"])
    for panel in page["panels"]:
        assert panel["title"]
        assert len(panel["description"]) > 5
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["targets"]
        for part in (panel, *panel["targets"]):
            assert part["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            for name in re.findall(r"\$(\w+)", target["expr"]):
                assert name in variables


@pytest.mark.parametrize("page", promql.dashboards().values(), ids=promql.dashboards())
def test_no_panel_covers_another(page: dict[str, Any]) -> None:
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in page["panels"]):
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + column, place["y"] + row)
            for column in range(place["w"])
            for row in range(place["h"])
        }
        assert not cells & taken
        taken |= cells


def test_panels_fill_a_row_and_the_next_begins_below_the_highest() -> None:
    def panel(kind: Any, width: int) -> Panel:
        return Panel("", "s", "", (), kind, width)

    drawn = [panel("stat", 6), panel("timeseries", 12), panel("stat", 8), panel("table", 24)]
    assert [(left, top) for _, left, top in laid_out(drawn)] == [(0, 0), (6, 0), (0, 8), (0, 12)]


# -- how expressions are read ----------------------------------------------------------------------


def test_the_metrics_and_labels_of_an_expression_are_found_wherever_they_stand() -> None:
    expression = (
        'max by (camera) (rate(a_total{reason=~"x.*", kind="y"}[5m])) > 1 '
        'and on (stage) sum(b) or absent(up{job="c"})'
    )
    found = {each.metric: each for each in promql.selectors(expression)}
    assert found.keys() == {"a_total", "b", "up"}
    assert found["a_total"].labels == {"reason", "kind"}
    assert found["a_total"].values == (("kind", "y"),)
    assert promql.Grouping(("camera",), ("a_total",)) in promql.groupings(expression)
    assert promql.Grouping(("stage",), ("b",)) in promql.groupings(expression)


def test_an_expression_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="parenthesis"):
        promql.selectors("sum(a")
