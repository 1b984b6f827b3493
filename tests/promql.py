"""Which metrics and labels a PromQL expression names, as a real parser sees it."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import yaml

REPOSITORY: Final = Path(__file__).parents[1]
ALERTS: Final = REPOSITORY / "deploy/prometheus/alerts.yaml"
DASHBOARDS: Final = REPOSITORY / "deploy/grafana/dashboards"


@dataclass(frozen=True)
class Selector:
    """One metric with what is demanded of its labels."""

    metric: str
    labels: frozenset[str]
    values: tuple[tuple[str, str], ...]
    """Those that must be equal to something."""


@dataclass(frozen=True)
class Grouping:
    """Labels by which something is summed or matched, and the metrics that must have them."""

    labels: tuple[str, ...]
    metrics: tuple[str, ...]


def selectors(expression: str) -> list[Selector]:
    """Raises ValueError if the expression is none."""
    return list(_selectors(promql.parse(expression)))


def groupings(expression: str) -> list[Grouping]:
    """All `by`, `without` and `on`. Raises ValueError if the expression is none."""
    found: list[Grouping] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.AggregateExpr) and node.modifier is not None:
            found.append(_grouping(node.modifier.labels, node.expr))
        if isinstance(node, promql.BinaryExpr) and node.modifier and node.modifier.matching:
            labels = node.modifier.matching.labels
            found.extend(_grouping(labels, side) for side in (node.lhs, node.rhs))

    promql.walk(promql.parse(expression), visit)
    return found


def _grouping(labels: list[str], below: promql.Expr) -> Grouping:
    return Grouping(tuple(labels), tuple(each.metric for each in _selectors(below)))


def _selectors(root: promql.Expr) -> Iterator[Selector]:
    found: list[promql.VectorSelector] = []

    def visit(node: promql.Expr) -> None:
        if isinstance(node, promql.VectorSelector):
            found.append(node)

    promql.walk(root, visit)
    for each in found:
        if each.name is None:
            raise ValueError(f"no metric is named in {each}")
        yield Selector(
            each.name,
            frozenset(matcher.name for matcher in each.matchers.matchers),
            tuple(
                (matcher.name, matcher.value)
                for matcher in each.matchers.matchers
                if matcher.op == promql.MatchOp.Equal
            ),
        )


def promtool(*arguments: str | Path) -> None:
    """Fails with promtool's own words."""
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def alert_rules() -> list[dict[str, Any]]:
    """Every rule of the alerts file."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboards() -> dict[str, dict[str, Any]]:
    """Every dashboard, by the name of its file."""
    return {
        path.name: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(DASHBOARDS.glob("*.json"))
    }


def dashboard_targets() -> list[tuple[str, str, str]]:
    """Where (dashboard and panel), expression and legend of every query."""
    return [
        (f"{name}: {panel['title']}", target["expr"], target["legendFormat"])
        for name, page in dashboards().items()
        for panel in page["panels"]
        for target in panel["targets"]
    ]
