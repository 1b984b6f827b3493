"""The stack whose stages share no volume: the same logins are enough, and nothing is lost."""

import pytest

from tests.containers import trials
from tests.containers.stack import STAGES, Stack
from tests.support import eventually

pytestmark = pytest.mark.timeout(4000)


def test_stages_share_no_volume(stack_with_buckets: Stack) -> None:
    owner: dict[str, str] = {}
    for stage in STAGES:
        for mount in stack_with_buckets.containers(stage)[0]["Mounts"]:
            if mount["Type"] == "volume":
                assert owner.setdefault(mount["Name"], stage) == stage, mount["Name"]


def test_a_camera_goes_live_and_into_the_bucket(stack_with_buckets: Stack) -> None:
    stack_with_buckets.wait_live()
    eventually(stack_with_buckets.clips, trials.STORED_SECONDS, "a clip is stored", every_seconds=2)


@pytest.mark.parametrize("stage", ["ingest", "encoder", "archiver", "analyzer"])
def test_a_stage_that_is_killed_comes_back(stack_with_buckets: Stack, stage: str) -> None:
    trials.kill(stack_with_buckets, stage)


@pytest.mark.parametrize("stage", ["ingest", "encoder"])
def test_a_stage_that_is_upgraded_goes_on(stack_with_buckets: Stack, stage: str) -> None:
    """Ingest has its spool in a volume; what the encoder had on its disk is gone."""
    trials.upgrade(stack_with_buckets, stage)


def test_replicas_share_the_work(stack_with_buckets: Stack) -> None:
    trials.scale_out(stack_with_buckets)


def test_nothing_was_lost_by_all_this(stack_with_buckets: Stack) -> None:
    stack_with_buckets.compose("stop", "ingest")
    trials.nothing_is_lost(stack_with_buckets, stack_with_buckets.closed(), least_epochs=3)
    stack_with_buckets.compose("stop")
