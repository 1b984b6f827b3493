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
        (batch(3, 3), Step.BREAK, "gap"),
        (batch(3, 2, offset=2001), Step.BREAK, "gap"),
        (batch(4, 1), Step.BREAK, "gap"),
        (batch(5, 0), Step.BEGIN, "gap"),
        (batch(3, 1), Step.SKIP, "repeated"),
        (batch(2, 7), Step.SKIP, "repeated"),
        (batch(0, 0, epoch=OTHER_EPOCH), Step.BEGIN, ""),
        (batch(3, 2, epoch=OTHER_EPOCH), Step.BREAK, "gap"),
        (batch(4, 0, offset=5), Step.BREAK, "gap"),
    ],
)
def test_after_part_1_of_fragment_3(following: Batch, step: Step, reason: str) -> None:
    verdict = judge(Cursor.after(batch(3, 1)), following, age_seconds=0.1)
    assert (verdict.step, verdict.reason) == (step, reason)


def test_a_run_begins_at_a_key_frame_only() -> None:
    assert judge(None, batch(9, 0), 0.1).step is Step.BEGIN
    verdict = judge(None, batch(9, 1), 0.1)
    assert (verdict.step, verdict.reason) == (Step.BREAK, "no-key-frame")


@pytest.mark.parametrize("cursor", [None, Cursor.after(batch(3, 1))])
def test_what_is_old_is_never_fed(cursor: Cursor | None) -> None:
    for each in (batch(3, 2), batch(4, 0)):
        verdict = judge(cursor, each, LIVE_BUDGET_SECONDS + 0.1)
        assert (verdict.step, verdict.reason) == (Step.BREAK, "old")


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
            elif verdict.step is Step.BEGIN:
                assert each.part == 0
                cursor = Cursor.after(each)
            elif verdict.step is Step.BREAK:
                cursor = None
