"""Coverage for programs: seconds and spans, times in UTC."""

from typing import Any

from shared.clock import from_milliseconds
from shared.coverage.day import Coverage, Evidence, Hole
from shared.coverage.footage import Span


def as_facts(evidence: Evidence, coverage: Coverage) -> dict[str, Any]:
    """What `cradle coverage --json` prints of a camera."""
    return {
        "camera": coverage.camera,
        **span_facts(coverage.day),
        "captured_seconds": coverage.captured_milliseconds / 1000,
        "stored_seconds": coverage.stored_milliseconds / 1000,
        "missing_seconds": coverage.missing_milliseconds / 1000,
        "not_yet_stored_seconds": coverage.pending_milliseconds / 1000,
        "stored": [span_facts(span) for span in coverage.stored],
        "missing": hole_facts(coverage.missing),
        "not_yet_stored": hole_facts(coverage.pending),
        "warnings": list(evidence.damaged_records),
    }


def span_facts(span: Span) -> dict[str, Any]:
    """Begin, end and length."""
    return {
        "starts_at": from_milliseconds(span.starts).isoformat(timespec="milliseconds"),
        "ends_at": from_milliseconds(span.ends).isoformat(timespec="milliseconds"),
        "seconds": span.milliseconds / 1000,
    }


def hole_facts(holes: list[Hole]) -> list[dict[str, Any]]:
    """Times without footage, each with its cause and the words that say why."""
    return [
        {
            **span_facts(hole.span),
            "cause": hole.reason.cause.value,
            "reason": hole.reason.words,
            "captured": hole.reason.recorded,
        }
        for hole in holes
    ]
