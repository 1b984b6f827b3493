"""Which batches continue a run, which begin one, and which are left out."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.cursor import LIVE_BUDGET_SECONDS, Cursor, Step, judge
from shared.identity import fragment_path
from shared.messages import Batch, StreamParameters

START = datetime(2026, 3, 1, tzinfo=UTC)
EPOCH, OTHER_EPOCH = "0" * 20, "1" * 20


def batch(fragment: int, part: int, **facts: Any) -> Batch:
    """Parts are 1000 bytes long."""
    epoch = facts.pop("epoch", EPOCH)
    values = {
        "camera": "camera-1",
        "epoch": epoch,
        "fragment": fragment,
        "path": fragment_path("camera-1", epoch, fragment),
        "part": part,
        "offset": part * 1000,
        "bytes": 1000,
        "frames": 15,
        "captured_at": START,
        "written_at": START,
        "stream": StreamParameters(
            video_codec="h264", width=320, height=240, frames_per_second=30, audio_codec="aac"
        ),
    }
    return Batch.model_validate(values | facts)


@pytest.mark.parametrize(
    ("following", "step", "reason"),
    [
        (batch(3, 2), Step.FEED, ""),
        (batch(4, 0), Step.FEED, ""),
        (batch(3, 3), Step.LEAVE_OUT, "gap"),
        (batch(3, 2, offset=2001), Step.LEAVE_OUT, "gap"),
        (batch(4, 1), Step.LEAVE_OUT, "gap"),
        (batch(5, 0), Step.RESUME, "gap"),
        (batch(3, 1), Step.REPEATED, "repeated"),
        (batch(2, 7), Step.REPEATED, "repeated"),
        (batch(0, 0, epoch=OTHER_EPOCH), Step.BEGIN, ""),
        (batch(3, 2, epoch=OTHER_EPOCH), Step.BREAK, "gap"),
        (batch(4, 0, offset=5), Step.LEAVE_OUT, "gap"),
    ],
)
def test_after_part_1_of_fragment_3(following: Batch, step: Step, reason: str) -> None:
    verdict = judge(Cursor.after(batch(3, 1)), following, age_seconds=0.1)
    assert (verdict.step, verdict.reason) == (step, reason)


def test_once_something_was_left_out_only_a_key_frame_goes_on() -> None:
    broken = Cursor.after(batch(3, 1)).broken_off()
    for each, step in ((batch(3, 2), Step.LEAVE_OUT), (batch(4, 0), Step.RESUME)):
        assert judge(broken, each, 0.1).step is step


def test_only_the_file_can_tell_whether_the_fragment_before_was_whole() -> None:
    cursor = Cursor.after(batch(3, 1))
    assert cursor.may_lack_the_end(batch(4, 0))
    assert not cursor.may_lack_the_end(batch(3, 2))
    assert not cursor.may_lack_the_end(batch(5, 0))  # it is known to have missed something


def test_a_run_begins_at_a_key_frame_only() -> None:
    assert judge(None, batch(9, 0), 0.1).step is Step.BEGIN
    verdict = judge(None, batch(9, 1), 0.1)
    assert (verdict.step, verdict.reason) == (Step.LEAVE_OUT, "no-key-frame")


@pytest.mark.parametrize("cursor", [None, Cursor.after(batch(3, 1))])
def test_what_is_old_is_never_fed(cursor: Cursor | None) -> None:
    for each in (batch(3, 2), batch(4, 0)):
        verdict = judge(cursor, each, LIVE_BUDGET_SECONDS + 0.1)
        assert (verdict.step, verdict.reason) == (Step.LEAVE_OUT, "old")


def test_a_clock_that_is_behind_ingest_harms_nothing() -> None:
    assert judge(None, batch(0, 0), -3600.0).step is Step.BEGIN


@given(st.lists(st.sampled_from(["keep", "drop", "repeat"]), max_size=40))
def test_what_is_fed_is_whole_from_a_key_frame_on(fates: list[str]) -> None:
    """Whatever is lost or repeated, a run never has a hole and never begins inside a fragment."""
    cursor: Cursor | None = None
    places = [(fragment, part) for fragment in range(10) for part in range(4)]
    for place, fate in zip(places, fates, strict=False):
        each = batch(*place)
        for _ in range({"keep": 1, "drop": 0, "repeat": 2}[fate]):
            verdict = judge(cursor, each, 0.1)
            if verdict.step is Step.FEED:
                assert cursor is not None
                same = cursor.fragment == each.fragment and cursor.part == each.part - 1
                assert same or (each.part == 0 and cursor.fragment == each.fragment - 1)
                cursor = Cursor.after(each)
            elif verdict.step in {Step.BEGIN, Step.RESUME}:
                assert each.part == 0
                cursor = Cursor.after(each)
            elif verdict.step is Step.LEAVE_OUT and cursor is not None:
                cursor = cursor.broken_off()
