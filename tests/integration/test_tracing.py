"""Traces on the wire and at a collector, and what a bad collector costs: nothing."""

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from shared import log, spanexport, tracing
from shared.analysis import read_result
from shared.clock import SystemClock
from shared.config import ArchiveSettings
from shared.identity import new_epoch
from shared.link import Delivery, Link
from shared.log import get_logger
from shared.messages import Stage, read_event
from shared.topology import EVENTS, Queue
from shared.tracing import Span, TraceContext, Tracer, context_in
from shared.tracingsettings import TracingSettings
from tests.line import Line, line
from tests.otlp import Manner, Received, collector
from tests.services import StoreService
from tests.starving import starving
from tests.support import eventually

CAMERA = "camera-1"
GENERATED = {"id": CAMERA, "source": "test:320x180@30"}
STAGES = ("ingest", "encoder", "archiver", "analyzer")
SECONDS = 30
"""Patience, on a machine that is busy with other things."""


@pytest.fixture
def link(broker_url: str) -> Iterator[Link]:
    with Link(SecretStr(broker_url), "test") as found:
        yield found


def started(address: str) -> Tracer:
    settings = TracingSettings(endpoint=address, sample_ratio=1)
    made = tracing.start(settings, Stage.INGEST, "ingest-1", SystemClock(), get_logger())
    assert made is not None
    return made


def span(tracer: Tracer, number: int) -> Span:
    now = tracer.clock.now()
    context = tracer.of_fragment(CAMERA, new_epoch(now), number)
    seconds = timedelta(seconds=1.5)
    return Span("ingest fragment", context, None, now - seconds, now, {"cradle.camera": CAMERA})


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("cradle_tracing_spans_total", {"outcome": outcome}) or 0.0


# -- the export -------------------------------------------------------------------------------


def test_a_span_arrives_under_the_ids_that_it_was_given() -> None:
    with collector() as there:
        tracer = started(there.address)
        root = span(tracer, 1)
        other = tracer.of_fragment(CAMERA, new_epoch(tracer.clock.now()), 2)
        child = replace(
            root,
            name="child",
            context=root.context.below(),
            parent_id=root.context.span_id,
            links=(other,),
            kind="consumer",
        )
        unsampled = replace(root.context, sampled=False)
        for each in (root, child, replace(root, name="quiet", context=unsampled)):
            tracer.tell(each)
        tracer.close()
        first, second = there.spans
    assert (first.trace_id, first.span_id) == (root.context.trace_id, root.context.span_id)
    assert (first.parent_id, first.seconds, first.name) == ("", 1.5, "ingest fragment")
    assert (first.service, first.namespace) == ("ingest", "cradle")
    assert first.attributes == {"cradle.camera": CAMERA}
    assert (second.trace_id, second.parent_id) == (root.context.trace_id, root.context.span_id)
    assert second.links == ((other.trace_id, other.span_id),)


@pytest.mark.parametrize("manner", ["refuses", "hangs", "endless"])
def test_a_bad_collector_costs_the_teller_no_time_and_the_end_two_seconds(
    manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spanexport, "BATCH_SECONDS", 0.05)
    before = {each: counted(each) for each in ("exported", "failed", "dropped")}
    with collector(manner) as there, starving() as machine:
        tracer = started(there.address)
        example = span(tracer, 1)
        began = time.monotonic()
        tracer.tell(example)
        eventually(lambda: there.asked, SECONDS)
        if manner == "endless":  # it is not listened to for longer than an answer needs
            eventually(lambda: counted("exported") > before["exported"], SECONDS)
        for _ in range(3 * spanexport.MOST_WAITING):
            tracer.tell(example)
        told_seconds = time.monotonic() - began - machine.seconds()
        if manner == "hangs":  # what there is no room for is counted at once
            assert counted("dropped") - before["dropped"] >= 2 * spanexport.MOST_WAITING
        began, lost_seconds = time.monotonic(), machine.seconds()
        tracer.close()
        lost_seconds = machine.seconds() - lost_seconds
        assert time.monotonic() - began - lost_seconds < spanexport.CLOSE_SECONDS + 1
    told = 3 * spanexport.MOST_WAITING + 1
    became = sum(counted(each) - before[each] for each in before)
    assert became == pytest.approx(told, abs=spanexport.BATCH)  # one batch may be under way
    assert told_seconds < 5


@pytest.mark.usefixtures("logging_as_before")
def test_a_collector_that_refuses_everything_is_one_line_a_second(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spanexport, "BATCH_SECONDS", 0.02)
    log.configure()
    began = time.monotonic()
    with collector("refuses") as there:
        tracer = started(there.address)
        for batches in range(1, 21):
            tracer.tell(span(tracer, 1))
            eventually(partial(lambda least: there.asked >= least, batches), SECONDS)
        tracer.close()
    lines = [each for each in capsys.readouterr().out.splitlines() if "opentelemetry" in each]
    assert 1 <= len(lines) <= 1 + time.monotonic() - began
    assert all(len(each) < 1000 for each in lines)  # whatever the collector gave as its reason


def test_a_stage_that_tells_nonsense_breaks_nothing() -> None:
    with collector() as there:
        tracer = started(there.address)
        before = counted("dropped")
        bad: Any = "not hexadecimal"
        tracer.tell(replace(span(tracer, 1), context=TraceContext(bad, bad, sampled=True)))
        assert counted("dropped") == before + 1
        tracer.close()


# -- the line ---------------------------------------------------------------------------------

HEARD = Queue(
    "heard",
    {"x-queue-type": "classic"},
    (
        ("cradle.frames", "#"),
        (EVENTS, "archiver.*.stored"),
        (EVENTS, "analyzer.*.described"),
    ),
)


def ear(link: Link, heard: list[Delivery]) -> None:
    """Note everything that crosses the broker."""
    link.consume(
        HEARD, prefetch=0, exclusive=False, on_delivery=heard.append, on_closed=lambda _reason: None
    )


def of_fragments(heard: list[Delivery], key: str) -> list[Delivery]:
    """The messages of a kind; the end of an epoch is about no fragment."""
    return [
        each
        for each in heard
        if each.routing_key.startswith(key) and b'"epoch-end"' not in each.body
    ]


def fragments_of(spans: list[Received]) -> list[tuple[object, object]]:
    """Epochs and numbers."""
    named = [
        (each.attributes["cradle.epoch"], each.attributes["cradle.fragment"]) for each in spans
    ]
    return sorted(named)


def run(made: Line) -> None:
    """Record until a clip and a note are stored, then stop in order."""
    made.start("encoder", "archiver", "analyzer")
    eventually(lambda: '"seat.taken"' in made.log("encoder"), SECONDS, "live is waited for")
    made.start("ingest")
    made.until_live(CAMERA)
    eventually(lambda: made.manifests(CAMERA), 40, "a clip", every_seconds=0.3)
    eventually(lambda: notes(made), 30, "a note", every_seconds=0.3)
    assert made.stop("ingest") == {"ingest": 0}
    made.until_archived(CAMERA, 30)
    assert set(made.stop("encoder", "archiver", "analyzer").values()) == {0}


def notes(made: Line) -> list[str]:
    keys = [each.key for each in made.store.list(f"analysis/{CAMERA}/")]
    return [key for key in keys if key.endswith(".json")]


@pytest.fixture
def live_bucket(store_service: StoreService) -> Iterator[str]:
    with store_service.bucket() as live:
        yield live.bucket


@pytest.mark.parametrize("place", ["folders", "buckets"])
def test_one_trace_leads_from_the_camera_to_the_page_the_clip_and_the_note(
    tmp_path: Path,
    broker_url: str,
    archive_settings: ArchiveSettings,
    link: Link,
    live_bucket: str,
    place: str,
) -> None:
    buckets = {
        "frames": {"url": f"s3://{archive_settings.bucket}/frames"},
        "live": {"url": f"s3://{live_bucket}"},
    }
    heard: list[Delivery] = []
    ear(link, heard)
    with (
        collector() as there,
        line(
            tmp_path,
            broker_url,
            archive_settings,
            [GENERATED],
            tracing={"endpoint": there.address, "sample_ratio": 1.0},
            **(buckets if place == "buckets" else {}),
        ) as made,
    ):
        run(made)
        manifests, stored = made.manifests(CAMERA), made.fragments(CAMERA)
        results = [read_result(made.store.read(key) or b"") for key in notes(made)]
    spans = there.spans
    by_id = {each.span_id: each for each in spans}
    assert len(by_id) == len(spans)
    for each in spans:  # nothing hangs in the air
        assert each.parent_id == "" or by_id[each.parent_id].trace_id == each.trace_id
        assert all(span_id in by_id for _, span_id in each.links)
        assert each.seconds >= 0
    roots = there.named("ingest fragment")
    assert fragments_of(roots) == stored
    uploaded = there.named("upload fragment")
    assert fragments_of(uploaded) == (stored if place == "buckets" else [])
    archived = {
        each.trace_id: each.attributes["cradle.key"] for each in there.named("archive fragment")
    }
    assert archived.keys() == {each.trace_id for each in roots}
    assert set(archived.values()) == {each.object_key for each in manifests}
    shown = [
        each
        for each in there.named("show fragment")
        if each.attributes["cradle.outcome"] == "shown"
    ]
    assert len(shown) >= len(stored) - 3  # what came before ffmpeg ran, and the last
    for manifest in manifests:
        (commit,) = [
            each
            for each in there.named("commit clip")
            if each.attributes["cradle.key"] == manifest.object_key
        ]
        assert commit.trace_id == manifest.trace_id
        assert commit.service == "archiver"
        assert by_id[commit.parent_id].attributes["cradle.fragment"] == manifest.first
        assert len(commit.links) == manifest.last - manifest.first
        parts = {each.name for each in spans if each.parent_id == commit.span_id}
        assert parts == {"convert", "upload", "manifest"}
    described = [
        each
        for each in there.named("analyze sample")
        if each.attributes["cradle.outcome"] == "described"
    ]
    assert {each.trace_id for each in described} == {each.trace_id for each in results}
    parts = {each.name for each in spans if each.parent_id == described[0].span_id}
    assert parts == {"decode", "gate", "provider", "store"}
    assert described[0].trace_id in archived  # one trace: ingest, the clip, and the note
    # On the wire, every message and event goes on with it.
    for key in ("batch.", "fragment.", "sample."):
        contexts = [context_in(each.headers) for each in of_fragments(heard, key)]
        assert contexts
        assert None not in contexts
    for event in heard:
        if event.exchange == EVENTS:
            context = context_in(event.headers)
            assert context is not None
            what = "commit clip" if read_event(event.body).event == "stored" else "analyze sample"
            assert by_id[context.span_id].name == what
    words = {result.observation.summary for result in results}
    assert not words & {value for each in spans for value in each.attributes.values()}


def test_without_an_endpoint_no_header_is_sent_and_no_library_is_imported(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings, link: Link
) -> None:
    heard: list[Delivery] = []
    ear(link, heard)
    with line(tmp_path, broker_url, archive_settings, [GENERATED]) as made:
        made.environment["PYTHONPROFILEIMPORTTIME"] = "1"
        run(made)
        assert {len(each.headers) for each in heard} == {0}
        assert {each.trace_id for each in made.manifests(CAMERA)} == {None}
        for stage in STAGES:
            assert "shared.tracing" in made.log(stage)
            assert "shared.spanexport" not in made.log(stage)
            assert "opentelemetry" not in made.log(stage)


def test_a_collector_that_hangs_changes_neither_live_nor_archive(
    tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings
) -> None:
    with (
        collector("hangs") as there,
        line(
            tmp_path,
            broker_url,
            archive_settings,
            [GENERATED],
            tracing={"endpoint": there.address, "sample_ratio": 1.0},
        ) as made,
    ):
        began = time.monotonic()
        run(made)
        seconds = time.monotonic() - began
        assert made.archived_counters(CAMERA) == made.stored_counters(CAMERA)
        assert there.asked >= len(STAGES)
        assert made.log("encoder").count("live.stalled") == 0
    assert seconds < 120
