"""Writes the alerts for the Prometheus Operator: `python -m deploy.k8s.rules`; it is committed.

`deploy/prometheus/alerts.yaml` is the one source. A cluster's Prometheus knows the series of others
as well, and a `viewer` or a broker of theirs must not be taken for ours: so every series is asked
for in our namespace, and nothing else is changed.
"""

import re
from pathlib import Path
from typing import Any, Final

import yaml

from deploy.k8s.credentials import NAMESPACE

SOURCE: Final = Path(__file__).parents[1] / "prometheus" / "alerts.yaml"
TARGET: Final = Path(__file__).parent / "components" / "monitoring" / "rules.yaml"
LINE: Final = 10_000
"""Never broken: a changed word is a changed line, and no more."""
HEAD: Final = """\
# Made of deploy/prometheus/alerts.yaml by `python -m deploy.k8s.rules`; change it there.
"""
_WORD: Final = re.compile(r'"[^"]*"|\b(up|(?:cradle|rabbitmq|process)_\w+)\b(\{)?')
"""A string, which is left alone, or the name of a metric and the brace that may follow it."""


class _Dumper(yaml.SafeDumper):
    """Writes what has several lines in several lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Dumper.add_representer(str, _text)


def within_namespace(expression: str) -> str:
    """The same expression, asking for series of our namespace alone."""

    def narrowed(word: re.Match[str]) -> str:
        metric, brace = word.groups()
        if metric is None:
            return word[0]
        return f'{metric}{{namespace="{NAMESPACE}"{"," if brace else "}"}'

    return _WORD.sub(narrowed, expression)


def rule() -> dict[str, Any]:
    """The PrometheusRule."""
    groups = yaml.safe_load(SOURCE.read_text(encoding="utf-8"))["groups"]
    for group in groups:
        for each in group["rules"]:
            each["expr"] = within_namespace(each["expr"])
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "cradle"},
        "spec": {"groups": groups},
    }


def file() -> str:
    """The text of the committed file."""
    return HEAD + yaml.dump(rule(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=LINE)


if __name__ == "__main__":
    TARGET.write_text(file(), encoding="utf-8")
