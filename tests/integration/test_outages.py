"""The short form of the long outages (`make outages`): the same, with a stage away for seconds."""

from pathlib import Path

import pytest

from tests.faults.endured import as_text
from tests.faults.outages import endure
from tests.faults.plan import Plan
from tests.starving import starving

SMALL = Plan(file_cameras=1, has_small_disk=False)


@pytest.mark.timeout(300)
def test_an_outage_is_endured_without_a_loss_and_worked_off(tmp_path: Path) -> None:
    with starving() as machine:
        endured = endure("archiver", 25, tmp_path, SMALL, calm_seconds=5)
        stood_seconds = machine.longest_seconds
    assert endured.verdict.is_clean, endured.verdict
    assert endured.verdict.frames > 0
    assert not endured.overwritten
    assert endured.speed > 1, "faster than real time"
    stalls = [live.stall - stood_seconds for live in endured.live.values()]
    assert max(stalls) < 5, "live is not delayed by it"
    assert "| archiver |" in as_text([endured], "make outages", SMALL.clip_seconds)
