"""Messages: what is written is read back, and nothing that arrives can do worse than be refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadMessage
from shared.identity import day_prefix, fragment_path, new_epoch
from shared.messages import (
    MAX_MESSAGE_BYTES,
    Batch,
    EpochEnd,
    Event,
    Fragment,
    Picture,
    Sample,
    Stage,
    StreamParameters,
    read_archive_message,
    read_batch,
    read_event,
    read_sample,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCH = new_epoch(NOON)
STREAM = StreamParameters(
    video_codec="h264", width=1920, height=1080, frames_per_second=30, audio_codec="aac"
)
REFERENCE: dict[str, Any] = {
    "camera": "camera-1",
    "epoch": EPOCH,
    "fragment": 7,
    "path": fragment_path("camera-1", EPOCH, 7),
}
BATCH = Batch(
    **REFERENCE,
    part=1,
    offset=1880,
    bytes=940,
    frames=5,
    captured_at=NOON,
    written_at=NOON,
    stream=STREAM,
)
FRAGMENT = Fragment(
    **REFERENCE,
    bytes=2820,
    frames=30,
    captured_at=NOON,
    duration_seconds=1.0,
    key_frame_bytes=940,
    stream=STREAM,
)
END = EpochEnd(camera="camera-1", epoch=EPOCH, fragments=8, ended_at=NOON, reason="끝")
PICTURE = Picture(**REFERENCE, bytes=940, captured_at=NOON)
SAMPLE = Sample(
    camera="camera-1",
    starts_at=NOON,
    ends_at=NOON,
    pictures=[PICTURE],
    previous=None,
    heartbeat=True,
)
EVENT = Event(stage=Stage.ARCHIVER, worker="archiver-1", camera="camera-1", event="stored", at=NOON)
READERS = [read_archive_message, read_batch, read_sample, read_event]


def altered(message: Batch | Fragment | EpochEnd | Event, **changes: Any) -> bytes:
    return json.dumps({**json.loads(message.to_body()), **changes}).encode()


def test_every_message_is_read_back() -> None:
    assert read_batch(BATCH.to_body()) == BATCH
    assert read_archive_message(FRAGMENT.to_body()) == FRAGMENT
    assert read_archive_message(END.to_body()) == END
    assert read_sample(SAMPLE.to_body()) == SAMPLE
    assert read_event(EVENT.to_body()) == EVENT
    assert EVENT.routing_key == "archiver.camera-1.stored"


def test_every_message_says_its_schema() -> None:
    for message in (BATCH, FRAGMENT, END, SAMPLE, EVENT):
        assert json.loads(message.to_body())["schema"] == 1


def test_unknown_fields_are_ignored() -> None:
    assert read_batch(altered(BATCH, later_addition={"a": 1})) == BATCH


def test_another_schema_is_refused() -> None:
    with pytest.raises(BadMessage, match="schema"):
        read_batch(altered(BATCH, schema=2))


@pytest.mark.parametrize(
    "changes",
    [
        {"path": f"camera-2/{EPOCH}/000007.ts"},
        {"path": f"camera-1/{EPOCH}/000008.ts"},
        {"path": f"camera-1/{EPOCH}/../{EPOCH}/000007.ts"},
        {"path": "/etc/passwd"},
        {"camera": "../camera-1"},
        {"camera": "camera-1\n"},
        {"camera": "Camera-1"},
        {"camera": ""},
        {"epoch": "f" * 20},
        {"epoch": EPOCH[:-1]},
        {"fragment": -1},
        {"fragment": 10**10},
        {"bytes": 0},
        {"bytes": 2**63},
        {"frames": -1},
        {"captured_at": "2026-03-01T12:00:00"},
        {"captured_at": "9999-12-31T23:59:59Z"},
        {"captured_at": "0001-01-01T00:00:00+09:00"},
        {"stream": {"video_codec": "vp9"}},
    ],
)
def test_a_reference_that_points_elsewhere_or_nowhere_is_refused(changes: dict[str, Any]) -> None:
    for message in (BATCH, FRAGMENT):
        with pytest.raises(BadMessage):
            read_batch(altered(message, **changes))
        with pytest.raises(BadMessage):
            read_archive_message(altered(message, **changes))


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "1e999"])
def test_a_duration_that_is_no_duration_is_refused(value: str) -> None:
    body = FRAGMENT.to_body().replace(
        b'"duration_seconds":1.0', b'"duration_seconds":%b' % value.encode()
    )
    with pytest.raises(BadMessage):
        read_archive_message(body)


def test_a_moment_in_another_zone_is_the_same_moment() -> None:
    read = read_batch(altered(BATCH, captured_at="2026-03-01T21:00:00+09:00"))
    assert read.captured_at == NOON


@given(st.datetimes(), st.floats(min_value=0, max_value=86_400))
def test_no_moment_that_is_accepted_overflows(moment: datetime, duration: float) -> None:
    body = altered(FRAGMENT, captured_at=f"{moment.isoformat()}Z", duration_seconds=duration)
    try:
        fragment = read_archive_message(body)
    except BadMessage:
        return
    assert isinstance(fragment, Fragment)
    assert fragment.ends_at >= fragment.captured_at
    assert day_prefix("clips", "camera-1", fragment.ends_at + timedelta(days=1))


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else_happens(body: bytes) -> None:
    for reader in READERS:
        with pytest.raises(BadMessage):
            reader(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


@given(
    st.sampled_from([BATCH, FRAGMENT, END, SAMPLE, EVENT]),
    st.dictionaries(st.integers(min_value=0, max_value=12), JSON, min_size=1, max_size=3),
)
def test_a_message_with_odd_values_is_read_or_refused(message: Any, odd: dict[int, Any]) -> None:
    content = json.loads(message.to_body())
    for index, value in odd.items():
        content[list(content)[index % len(content)]] = value
    for reader in READERS:
        try:
            reader(json.dumps(content).encode())
        except BadMessage as error:
            assert str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"kind":"event","detail":' + b'{"a":' * 10_000,
        b'{"schema":1,"camera":"\\ud800"}',
        b"\xff\xfe",
        b"null",
        b"1",
        b" " * (MAX_MESSAGE_BYTES + 1),
    ],
    ids=["deep", "deep detail", "half a surrogate", "not utf-8", "null", "number", "too long"],
)
def test_hostile_bodies_are_refused(body: bytes) -> None:
    for reader in READERS:
        with pytest.raises(BadMessage):
            reader(body)
