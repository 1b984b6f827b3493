"""Tenures, take-overs and overlaps, read from logs."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.scene import Death
from tests.faults.seats import (
    NEVER,
    STOPPED,
    frozen_take_overs,
    longest_overlap_seconds,
    take_overs,
    tenures,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def said(folder: Path, worker: str, *lines: tuple[float, str]) -> None:
    text = "".join(
        json.dumps({"time": after(at).isoformat(), "action": f"seat.{action}", "camera": "c"})
        + "\n"
        for at, action in lines
    )
    (folder / f"{worker}.log").write_text(text + '{"action": "seat.tak')  # cut short by a kill


def test_a_tenure_ends_with_a_release_a_death_or_not_at_all(tmp_path: Path) -> None:
    said(tmp_path, "encoder-1", (0, "taken"), (5, "released"), (9, "taken"), (20, "taken"))
    deaths = [Death("encoder-1", after(12))]
    spans = [(each.began_at, each.ended_at) for each in tenures(tmp_path, deaths)]
    assert spans == [(after(0), after(5)), (after(9), after(12)), (after(20), NEVER)]


@pytest.mark.parametrize("reason", STOPPED)
def test_an_ingest_that_lost_its_seat_holds_it_until_it_stops_recording(
    tmp_path: Path, reason: str
) -> None:
    said(tmp_path, "ingest-1", (0, "taken"))
    stopped = {
        "time": after(40).isoformat(),
        "action": "epoch.ended",
        "camera": "c",
        "reason": reason,
    }
    with (tmp_path / "ingest-1.log").open("a") as log:
        log.write(f"\n{json.dumps(stopped)}\n")
    (tenure,) = tenures(tmp_path, [])
    assert tenure.ended_at == after(40)


def test_a_take_over_lasts_from_the_death_to_the_next_tenure(tmp_path: Path) -> None:
    said(tmp_path, "encoder-1", (0, "taken"))
    said(tmp_path, "encoder-2", (11.5, "taken"))
    deaths = [Death("encoder-1", after(10))]
    (found,) = take_overs(tenures(tmp_path, deaths), deaths)
    assert (found.stage, found.camera, found.seconds) == ("encoder", "c", 1.5)


def test_a_seat_that_nobody_took_again_counts_as_long_as_it_was_looked(tmp_path: Path) -> None:
    said(tmp_path, "encoder-1", (0, "taken"))
    said(tmp_path, "ingest-1", (70, "taken"))
    deaths = [Death("encoder-1", after(10))]
    (found,) = take_overs(tenures(tmp_path, deaths), deaths)
    assert found.seconds == 60


def test_the_seat_of_a_frozen_worker_is_taken_by_another_while_it_sleeps(tmp_path: Path) -> None:
    said(tmp_path, "encoder-1", (0, "taken"), (45, "released"))
    said(tmp_path, "encoder-2", (36, "taken"))
    held = tenures(tmp_path, [])
    (found,) = frozen_take_overs(held, [Death("encoder-1", after(10), after(44))])
    assert found.seconds == 26
    assert frozen_take_overs(held, [Death("encoder-1", after(10), after(20))]) == []
    assert frozen_take_overs(held, [Death("encoder-2", after(10), after(44))]) == []


def test_a_seat_that_was_given_back_was_not_taken_over(tmp_path: Path) -> None:
    said(tmp_path, "encoder-1", (0, "taken"), (5, "released"))
    said(tmp_path, "encoder-2", (6, "taken"))
    assert take_overs(tenures(tmp_path, []), []) == []


@pytest.mark.parametrize(("frozen_until", "overlap"), [(None, 8.0), (15, 3.0)])
def test_an_overlap_counts_while_both_are_awake(
    tmp_path: Path, frozen_until: float | None, overlap: float
) -> None:
    said(tmp_path, "encoder-1", (0, "taken"), (18, "lost"))
    said(tmp_path, "encoder-2", (10, "taken"))
    freezes = [Death("encoder-1", after(2), after(frozen_until))] if frozen_until else []
    assert longest_overlap_seconds(tenures(tmp_path, []), freezes) == overlap
