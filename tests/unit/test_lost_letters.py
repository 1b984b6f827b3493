"""Dead letters: whatever they hold, they are listed, shown and harmless."""

import json
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.command.letters import Letter, letter_of, queue_named, visible, visible_body
from deploy.command.lost import as_facts, as_table, as_text
from shared.topology import ArchiveQueue

SEOUL = ZoneInfo("Asia/Seoul")
EIGHT = datetime(2026, 11, 25, 8, tzinfo=UTC)


def sent(
    key: str,
    body: bytes = b"{}",
    *,
    exchange: str = "cradle.frames",
    headers: Mapping[str, Any] | None = None,
) -> Letter:
    """As a worker sends it there."""
    given = {"x-cradle-exchange": exchange, "x-cradle-routing-key": key, **(headers or {})}
    return letter_of(body, given, key, Counter())


@pytest.mark.parametrize(
    ("exchange", "key", "queue", "camera"),
    [
        ("cradle.frames", "fragment.room-1", "archiver.room-1", "room-1"),
        ("cradle.frames", "batch.room-1", "encoder.room-1", "room-1"),
        ("cradle.frames", "sample.room-1", "analyzer", ""),
        ("cradle.events", "archiver.room-1.stored", "stored.room-1", "room-1"),
        ("", "archiver.room-1", "archiver.room-1", "room-1"),
        ("elsewhere", "what.ever", "", ""),
    ],
)
def test_its_destination_is_told_by_where_it_came_from(
    exchange: str, key: str, queue: str, camera: str
) -> None:
    letter = sent(key, exchange=exchange)
    assert (letter.queue, letter.camera) == (queue, camera)
    for kind in ArchiveQueue:
        assert not queue or queue_named(queue, kind) is not None


def test_what_the_broker_moved_tells_it_too() -> None:
    death = {"queue": "archiver.room-1", "reason": "maxlen", "time": EIGHT.replace(tzinfo=None)}
    headers = {"x-death": [death], "x-first-death-queue": "archiver.room-1"}
    letter = letter_of(b"{}", headers, "fragment.room-1", Counter())
    assert letter.queue == "archiver.room-1"
    assert letter.reason == "the broker: maxlen"
    assert letter.lost_at == EIGHT


def test_a_letter_has_the_same_identity_at_every_look_and_equal_ones_are_told_apart() -> None:
    looks = []
    for _ in range(2):
        seen: Counter[str] = Counter()
        looks.append([letter_of(body, {}, "batch.a", seen).identity for body in (b"1", b"2", b"1")])
    assert looks[0] == looks[1]
    assert len(set(looks[0])) == 3


def test_only_the_trace_is_kept_of_its_headers() -> None:
    letter = sent(
        "batch.a", headers={"x-cradle-reason": "no", "traceparent": "00-1-2-01", "x-death": []}
    )
    assert letter.kept_headers == {"traceparent": "00-1-2-01"}


def test_the_time_is_shown_where_people_are() -> None:
    letter = sent("batch.a", headers={"x-cradle-lost-at": "2026-11-24T23:30:00.000+00:00"})
    assert "2026-11-25 08:30:00" in as_table([letter], SEOUL)
    assert as_facts(letter)["lost_at"] == "2026-11-24T23:30:00+00:00"


def test_a_message_is_laid_out_and_its_own_words_are_kept() -> None:
    body = json.dumps({"kind": "batch", "camera": "a", "name": "영아반"}, ensure_ascii=False)
    letter = sent("batch.a", body.encode())
    assert letter.kind == "batch"
    assert '\n "name": "영아반"' in as_text(letter, SEOUL)


headers = st.dictionaries(
    st.sampled_from(
        [
            *("x-cradle-reason", "x-cradle-exchange", "x-cradle-routing-key", "x-cradle-lost-at"),
            *("x-death", "x-first-death-queue", "traceparent", "\x1b[2J"),
        ]
    ),
    st.one_of(
        st.text(max_size=40),
        st.integers(),
        st.none(),
        st.datetimes(),
        st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=5)), max_size=2),
        st.just([{"reason": "\x1b]0;x\x07", "time": "soon"}]),
    ),
)


@given(st.binary(max_size=300), headers, st.text(max_size=40))
def test_no_letter_breaks_the_list_or_commands_the_terminal(
    body: bytes, given_headers: dict[str, Any], key: str
) -> None:
    letter = letter_of(body, given_headers, key, Counter())
    json.dumps(as_facts(letter))
    for text in (as_table([letter], SEOUL), as_text(letter, SEOUL)):
        assert all(each.isprintable() or each == "\n" for each in text)
    assert as_table([letter], SEOUL).count("\n") == 1


@given(st.text(max_size=200))
def test_visible_text_is_printable(text: str) -> None:
    assert visible(text).isprintable()


def test_a_long_body_is_cut_and_its_length_is_told() -> None:
    shown = visible_body(b"\x00" * 10_000_000)
    assert len(shown) < 20_000
    assert "10000000 bytes" in shown


def test_deep_nesting_is_only_unreadable() -> None:
    assert sent("batch.a", b"[" * 100_000).kind == "unreadable"
