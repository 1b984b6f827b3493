"""Names of what workers count, as Prometheus wants them: https://prometheus.io/docs/practices/naming/."""

import re

import pytest
from prometheus_client import Metric

from tests.figures import declared_labels, families

BOUNDED = {
    "camera",  # those of the configuration
    "stage",
    "reason",  # words in the code, or names of exceptions
    "outcome",
    "container",
    "kind",
    "what",
    "loop",
    "state",
    "result",
    "direction",
    "status",
    "route",  # patterns, such as /api/cameras/{camera}/days
    "root",
}
OTHER_UNITS = re.compile(
    r"_(ms|milliseconds|minutes|hours|kb|mb|mib|gib|kilobytes|megabytes|percent|unix)(_|$)"
)


FAMILIES = families()


def test_all_stages_are_looked_at() -> None:
    begun = {family.name.split("_")[1] for family in FAMILIES}
    assert begun >= {"ingest", "encoder", "archiver", "analyzer", "viewer", "worker", "seats"}
    assert len(FAMILIES) > 80


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_name_says_its_unit(family: Metric) -> None:
    assert re.fullmatch(r"cradle_[a-z0-9_]+", family.name)
    assert not OTHER_UNITS.search(family.name), "base units: seconds, bytes, ratios"
    is_counter = family.type == "counter"
    assert is_counter or not family.name.endswith(("_total", "_count", "_sum", "_bucket"))
    assert family.documentation.endswith(".")
    says_moment = re.search(r"Unix time|since 1970|\bWhen\b", family.documentation) is not None
    assert says_moment == family.name.endswith("_timestamp_seconds")
    if family.type == "histogram":
        assert family.name.endswith("_seconds")
    if re.search(r"\b[Bb]ytes\b|\bquota_gib\b|disk\.$", family.documentation) and not is_counter:
        assert family.name.endswith("_bytes")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_no_label_can_have_any_number_of_values(family: Metric) -> None:
    assert declared_labels(family.name) <= BOUNDED
