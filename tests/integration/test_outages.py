"""The short form of the long outages (`make outages`): the same, with a stage away for seconds."""

from pathlib import Path

import pytest

from tests.faults.endured import as_text
from tests.faults.outages import endure
from tests.faults.plan import Plan

SMALL = Plan(file_cameras=1, has_small_disk=False)


@pytest.mark.timeout(300)
def test_an_outage_is_endured_without_a_loss_and_worked_off(tmp_path: Path) -> None:
    endured = endure("archiver", 25, tmp_path, SMALL, calm_seconds=5)
    assert endured.verdict.is_clean, endured.verdict
    assert endured.verdict.frames > 0
    assert not endured.overwritten
    assert endured.speed > 1, "faster than real time"
    assert all(live.stall < 5 for live in endured.live.values()), "live is not delayed by it"
    assert "| archiver |" in as_text([endured], "make outages", SMALL.clip_seconds)
