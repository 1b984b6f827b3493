"""Trace contexts: strict on the wire, the same for everybody who knows the fragment."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from structlog.testing import capture_logs

from archiver.clip import Clip, Made
from archiver.commit import Commit
from archiver.traces import ClipTraces
from archiver.windows import window_of
from encoder.playlist import Segment
from encoder.traces import SegmentTraces
from ingest.traces import FragmentTraces
from shared.clock import SimulatedClock
from shared.config import from_mapping
from shared.errors import Misconfigured
from shared.log import get_logger
from shared.messages import Batch, Picture, Sample, Stage
from shared.tracing import (
    MOST_LINKS,
    Span,
    Steps,
    TraceContext,
    Tracer,
    context_in,
    parse_traceparent,
    start,
    step,
)
from shared.tracingsettings import TracingSettings
from tests.archiver_fragments import CAMERA, EPOCH, START, STREAM, reference

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{SPAN}-01"


class Told:
    """A sink that keeps what it is told."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def tell(self, span: Span) -> None:
        self.spans.append(span)

    def close(self) -> None:
        """Nothing waits."""

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


def tracer(ratio: float = 1.0, told: Told | None = None) -> Tracer:
    return Tracer(ratio, told or Told(), SimulatedClock(START))


# -- the header -------------------------------------------------------------------------------


def test_a_header_says_trace_span_and_whether_it_is_sampled() -> None:
    assert parse_traceparent(GOOD) == TraceContext(TRACE, SPAN, sampled=True)
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-00") == TraceContext(TRACE, SPAN, sampled=False)
    assert parse_traceparent(f"00-{TRACE}-{SPAN}-fe") == TraceContext(TRACE, SPAN, sampled=False)


def test_a_later_version_is_read_as_far_as_today_knows() -> None:
    for later in (f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what the future brings"):
        assert parse_traceparent(later) == TraceContext(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize(
    "header",
    [
        "",
        GOOD[:-1],
        f"{GOOD}0",
        f"{GOOD}-more",  # version 00 has four fields
        f"cc-{TRACE}-{SPAN}-01.more",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 500}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        GOOD.upper(),
        GOOD.replace("-", "_"),
        f" {GOOD}",
        f"{GOOD}\n",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE[:-1]}\u0661-{SPAN}-01",  # a digit, but of another script
        "x" * 10_000_000,
        GOOD.encode(),
        None,
        7,
        [GOOD],
        {"traceparent": GOOD},
    ],
)
def test_a_header_of_another_form_is_as_good_as_none(header: Any) -> None:
    assert context_in({"traceparent": header}) is None


@given(st.text() | st.binary() | st.none() | st.integers() | st.lists(st.text()))
def test_no_header_breaks_anybody(header: Any) -> None:
    context_in({"traceparent": header})


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans())
def test_what_is_written_is_read_again(trace: int, span: int, sampled: bool) -> None:
    context = TraceContext(f"{trace:032x}", f"{span:016x}", sampled)
    assert context_in(context.headers) == context


# -- identity and share -----------------------------------------------------------------------


def test_whoever_knows_a_fragment_knows_its_trace() -> None:
    """The ids are on disks and in collectors: they must not change with the code."""
    context = tracer().of_fragment("camera-1", "0123456789ab00000000", 7)
    assert context == tracer().of_fragment("camera-1", "0123456789ab00000000", 7)
    assert context.traceparent == "00-56ce82d9b78ab8c62cb3416270f7998d-85cea3e070a8a4e4-01"
    others = [("camera-2", "0123456789ab00000000", 7), ("camera-1", "0123456789ab00000001", 7)]
    assert len({tracer().of_fragment(*each).trace_id for each in others} | {context.trace_id}) == 3


def contexts(ratio: float, count: int = 20_000) -> list[TraceContext]:
    made = tracer(ratio)
    return [made.of_fragment(CAMERA, EPOCH, number) for number in range(count)]


def test_as_many_are_sampled_as_was_asked_for() -> None:
    assert not any(each.sampled for each in contexts(0))
    assert all(each.sampled for each in contexts(1))
    share = sum(each.sampled for each in contexts(0.1)) / 20_000
    assert 0.09 < share < 0.11


def test_a_higher_share_holds_the_lower_and_the_rule_is_everybodys() -> None:
    low, high = contexts(0.02, 3000), contexts(0.2, 3000)
    assert all(after.sampled for before, after in zip(low, high, strict=True) if before.sampled)
    rule = TraceIdRatioBased(0.2)
    for each in high:
        decision = rule.should_sample(None, int(each.trace_id, 16), "any").decision
        assert each.sampled == (decision is Decision.RECORD_AND_SAMPLE)


def test_what_is_not_sampled_is_not_told() -> None:
    told = Told()
    made = tracer(0, told)
    FragmentTraces(made).written(reference(0))
    assert FragmentTraces(made).of_line(CAMERA, EPOCH, b'{"fragment":0,', print) == (
        made.of_fragment(CAMERA, EPOCH, 0).headers,
        print,
    )
    assert told.spans == []


# -- ingest -----------------------------------------------------------------------------------


def test_a_fragment_is_told_from_its_capture_to_the_brokers_confirm() -> None:
    told = Told()
    answers: list[bool] = []
    traces = FragmentTraces(tracer(1, told))
    line = reference(3).to_body()
    traces.written(reference(3))
    headers, on_result = traces.of_line(CAMERA, EPOCH, line, answers.append)
    on_result(True)
    written, published = told.spans
    assert (written.name, written.parent_id, written.starts_at) == (
        "ingest fragment",
        None,
        reference(3).captured_at,
    )
    assert context_in(headers or {}) == written.context
    assert (published.name, published.parent_id) == ("publish fragment", written.context.span_id)
    assert answers == [True]


@pytest.mark.parametrize("line", [b'{"kind":"epoch-end","fragments":3}', b"\xff\x00{{{", b""])
def test_lines_without_a_fragment_go_out_as_ever(line: bytes) -> None:
    assert FragmentTraces(tracer()).of_line(CAMERA, EPOCH, line, print) == (None, print)


def test_a_sample_goes_in_the_trace_of_a_picture_that_is_told() -> None:
    made = tracer(0.3)
    numbers = range(40)
    told = [number for number in numbers if made.of_fragment(CAMERA, EPOCH, number).sampled]
    quiet = [number for number in numbers if number not in told]
    chosen = [quiet[0], told[1], told[0], quiet[1]]
    context = made.of_sample(sample(*chosen))
    assert context == made.of_fragment(CAMERA, EPOCH, told[1])
    assert not made.of_sample(sample(*quiet[:3])).sampled


def sample(*numbers: int) -> Sample:
    pictures = [
        Picture(
            camera=CAMERA,
            epoch=EPOCH,
            fragment=each,
            path=reference(each).path,
            bytes=188,
            captured_at=START,
        )
        for each in numbers
    ]
    return Sample(
        camera=CAMERA,
        starts_at=START,
        ends_at=START,
        pictures=pictures,
        previous=None,
        heartbeat=False,
    )


# -- encoder ----------------------------------------------------------------------------------


def batch(number: int, part: int = 0) -> Batch:
    fragment = reference(number)
    return Batch(
        camera=CAMERA,
        epoch=EPOCH,
        fragment=number,
        path=fragment.path,
        part=part,
        offset=188 * part,
        bytes=188,
        frames=5,
        captured_at=fragment.captured_at,
        written_at=fragment.captured_at,
        stream=STREAM,
    )


def test_a_fragment_is_shown_once_and_what_was_left_out_is_told_as_that() -> None:
    told = Told()
    made = tracer(1, told)
    traces = SegmentTraces(made)
    for number in range(4):
        for part in range(2):
            traces.arrived(batch(number, part), made.of(batch(number)).headers)
    second = Segment("g/1.ts", 1.0, reference(1).captured_at)
    traces.published([second])
    outcomes = [
        (each.attributes["cradle.fragment"], each.attributes["cradle.outcome"])
        for each in told.spans
    ]
    assert outcomes == [(0, "not shown"), (1, "shown")]
    assert [each.parent_id for each in told.spans] == [
        made.of(batch(each)).span_id for each in (0, 1)
    ]


def test_a_camera_that_shows_nothing_gathers_no_spans_without_end() -> None:
    told = Told()
    made = tracer(1, told)
    traces = SegmentTraces(made)
    for number in range(1000):
        traces.arrived(batch(number), made.of(batch(number)).headers)
    traces.published([Segment("g/1.ts", 1.0, reference(2000).captured_at)])
    assert len(told.spans) == 32


# -- archiver ---------------------------------------------------------------------------------


def clip_of(count: int) -> Clip:
    run = tuple(reference(each) for each in range(count))
    return Clip(run, window_of(run[0], 600), 600)


def commit_of(clip: Clip, clock: SimulatedClock) -> Commit:
    steps = Steps(clock)
    with step(steps, "convert"):
        clock.advance(2)
    steps.end()
    manifest = clip.manifest(Made("mp4", None, 10, "0" * 64, None), None, START)
    return Commit(manifest, "created", 2.0, steps)


def stored(count: int, headers: dict[str, Any] | None, ratio: float = 1) -> tuple[Told, Clip]:
    """A clip of so many fragments that came with headers (None: their own), and was stored."""
    told, clock = Told(), SimulatedClock(START)
    made = Tracer(ratio, told, clock)
    traces = ClipTraces(made)
    plain = clip_of(count)
    for each in plain.fragments:
        traces.received(each, made.of(each).headers if headers is None else headers)
    clip = Clip(plain.fragments, plain.window, 600, None, traces.context_of(plain))
    traces.stored(clip, commit_of(clip, clock))
    return told, clip


def test_a_clip_stands_in_the_trace_of_its_first_fragment_and_links_to_others() -> None:
    told, clip = stored(600, None)
    (made,) = told.named("commit clip")
    first = tracer().of(clip.fragments[0])
    assert (made.context.trace_id, made.parent_id) == (first.trace_id, first.span_id)
    assert len(made.links) == MOST_LINKS
    assert made.links[0] == tracer().of(clip.fragments[1])
    (convert,) = told.named("convert")
    assert (convert.context.trace_id, convert.parent_id) == (first.trace_id, made.context.span_id)
    assert (convert.ends_at - convert.starts_at).total_seconds() == 2


def test_every_fragments_trace_leads_to_its_clip() -> None:
    told, clip = stored(5, None)
    archived = told.named("archive fragment")
    assert [each.context.trace_id for each in archived] == [
        tracer().of(each).trace_id for each in clip.fragments
    ]
    assert {each.attributes["cradle.key"] for each in archived} == {clip.identity.object_key("mp4")}
    assert {each.links for each in archived} == {(clip.trace,)}


def test_the_manifest_names_a_trace_only_if_somebody_can_find_it() -> None:
    def manifest_of(clip: Clip) -> Any:
        return commit_of(clip, SimulatedClock(START)).manifest

    told, clip = stored(5, None)
    assert manifest_of(clip).trace_id == told.named("commit clip")[0].context.trace_id
    told, clip = stored(5, None, ratio=0)
    assert (manifest_of(clip).trace_id, told.spans) == (None, [])


def test_a_bad_header_is_as_good_as_none_and_a_foreign_one_is_followed() -> None:
    _, clip = stored(2, {"traceparent": "00-1-2-01"})
    assert clip.trace is not None
    assert clip.trace.trace_id == tracer().of(clip.fragments[0]).trace_id
    _, clip = stored(2, {"traceparent": GOOD}, ratio=0)
    assert clip.trace is not None
    assert clip.trace.trace_id == TRACE


def test_a_clip_whose_fragments_headers_are_forgotten_is_told_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They said that it is to be sampled, and by our own ratio nothing is."""
    monkeypatch.setattr("archiver.traces.MOST_REMEMBERED", 1)
    told, clock = Told(), SimulatedClock(START)
    traces = ClipTraces(Tracer(0, told, clock))
    plain = clip_of(2)
    traces.received(plain.fragments[0], {"traceparent": GOOD})
    clip = Clip(plain.fragments, plain.window, 600, None, traces.context_of(plain))
    for number in (100, 101):
        traces.received(reference(number), {})
    traces.stored(clip, commit_of(clip, clock))
    (made,) = told.named("commit clip")
    assert (made.context.trace_id, made.parent_id, made.links) == (TRACE, None, ())


def test_what_is_lost_is_told_as_lost() -> None:
    told = Told()
    traces = ClipTraces(tracer(1, told))
    traces.received(reference(0), {})
    traces.lost((reference(0),), "gone")
    assert [each.attributes["cradle.outcome"] for each in told.spans] == ["lost"]


# -- configuration ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "sentence"),
    [
        ({"endpoint": "collector:4318"}, "tracing.endpoint: "),
        ({"endpoint": "ftp://collector"}, "must look like http://collector:4318"),
        ({"endpoint": "http://collector:4318?key=hush"}, "must look like http://collector:4318"),
        ({"endpoint": "http://me:hush@collector:4318"}, "OTEL_EXPORTER_OTLP_HEADERS"),
        ({"sample_ratio": 1.1}, "tracing.sample_ratio: must be at most 1"),
        ({"sample_rate": 1}, "tracing.sample_rate: no such key; did you mean sample_ratio?"),
    ],
)
def test_a_fault_is_one_sentence_without_a_secret(section: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Misconfigured, match="tracing") as caught:
        from_mapping({"tracing": section})
    assert sentence in str(caught.value)
    assert "hush" not in str(caught.value)


def test_where_the_packages_are_missing_rooms_are_recorded_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "shared.spanexport", None)
    settings = TracingSettings(endpoint="http://127.0.0.1:4318")
    with capture_logs() as lines:
        made = start(settings, Stage.INGEST, "ingest-1", SimulatedClock(), get_logger())
    assert made is None
    assert [each["action"] for each in lines] == ["tracing.unusable"]


def test_where_the_exporter_does_not_start_rooms_are_recorded_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("a variable that cannot be")

    monkeypatch.setattr("shared.spanexport.SpanExport", refuse)
    settings = TracingSettings(endpoint="http://127.0.0.1:4318")
    with capture_logs() as lines:
        made = start(settings, Stage.INGEST, "ingest-1", SimulatedClock(), get_logger())
    assert made is None
    assert [each["action"] for each in lines] == ["tracing.unusable"]


def test_without_an_endpoint_nothing_is_imported() -> None:
    program = (
        "import sys, ingest.worker, encoder.worker, archiver.worker, analyzer.worker\n"
        "from shared import tracing, tracingsettings\n"
        "assert tracing.start(tracingsettings.TracingSettings(), 0, '', 0, 0) is None\n"
        "assert not [each for each in sys.modules if 'opentelemetry' in each]\n"
        "assert 'shared.spanexport' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
