"""What the code of all stages says that it counts, whether or not it has counted yet."""

from importlib import import_module

from prometheus_client import REGISTRY, Metric

for module in (
    "analyzer.figures",
    "archiver.figures",
    "encoder.figures",
    "ingest.index",
    "ingest.janitor",
    "ingest.recovery",
    "ingest.uploads",
    "shared.clipfolder",
    "shared.link",
    "shared.spanexport",
    "shared.vacancy",
    "shared.worker",
    "viewer.feed",
    "viewer.guard",
    "viewer.hub",
    "viewer.reader",
    "viewer.reading",
):
    import_module(module)  # fills the registry


def families() -> list[Metric]:
    """Every metric of Cradle's own."""
    return [family for family in REGISTRY.collect() if family.name.startswith("cradle_")]


def declared_labels(metric: str) -> frozenset[str]:
    """Labels of a metric, by the name of the metric or of a sample. Raises KeyError."""
    collector = REGISTRY._names_to_collectors[metric]
    return frozenset(getattr(collector, "_labelnames", ()))
