"""The stack whose stages share no volume: the same logins are enough, and nothing is lost."""

import pytest

from tests.containers.stack import STAGES, Stack, docker
from tests.support import eventually

pytestmark = pytest.mark.timeout(4000)

STORED_SECONDS = 120.0


def test_stages_share_no_volume(stack_with_buckets: Stack) -> None:
    owner: dict[str, str] = {}
    for stage in STAGES:
        for mount in stack_with_buckets.containers(stage)[0]["Mounts"]:
            if mount["Type"] == "volume":
                assert owner.setdefault(mount["Name"], stage) == stage, mount["Name"]


def test_a_camera_goes_live_and_into_the_bucket(stack_with_buckets: Stack) -> None:
    stack_with_buckets.wait_live()
    eventually(stack_with_buckets.clips, STORED_SECONDS, "a clip is stored", every_seconds=2)


@pytest.mark.parametrize("stage", ["ingest", "encoder", "archiver"])
def test_a_stage_that_is_killed_comes_back(stack_with_buckets: Stack, stage: str) -> None:
    container = stack_with_buckets.containers(stage)[0]
    docker("exec", container["Id"], "sh", "-c", "kill -9 -1")
    eventually(
        lambda: (
            stack_with_buckets.containers(stage)[0]["State"]["StartedAt"]
            != container["State"]["StartedAt"]
        ),
        60,
        every_seconds=0.5,
    )
    stack_with_buckets.wait_healthy(stage)
    stack_with_buckets.wait_live()


def test_nothing_was_lost_by_all_this(stack_with_buckets: Stack) -> None:
    stack_with_buckets.compose("stop", "ingest")
    closed = stack_with_buckets.closed()
    assert len({epoch for epoch, _ in closed}) >= 2, "ingest was begun anew"
    eventually(
        lambda: len(stack_with_buckets.stored()) >= len(closed), STORED_SECONDS, every_seconds=2
    )
    assert stack_with_buckets.stored() == closed
