"""What is done to a running stack, wherever its frames lie, and what must be true afterwards."""

import json
from typing import Final

from tests.containers.stack import Stack, docker
from tests.support import eventually

STORED_SECONDS: Final = 120.0
SCRAPED_SECONDS: Final = 90.0
REPLICAS: Final = {"encoder": 2, "analyzer": 3}


def kill(stack: Stack, stage: str) -> None:
    """Kill a stage's processes; it comes back, and the room is live."""
    container = stack.containers(stage)[0]
    before = container["State"]["StartedAt"]
    docker("exec", container["Id"], "sh", "-c", "kill -9 -1")  # all but init, which then ends
    eventually(
        lambda: stack.containers(stage)[0]["State"]["StartedAt"] != before, 60, every_seconds=0.5
    )
    stack.wait_healthy(stage)
    stack.wait_live()


def upgrade(stack: Stack, stage: str) -> None:
    """Replace a stage's container, as a new image would; the room is live."""
    before = stack.containers(stage)[0]["Id"]
    stack.up("--force-recreate", "--no-deps", stage)
    assert stack.containers(stage)[0]["Id"] != before
    stack.wait_live()


def scale_out(stack: Stack) -> None:
    """More than one of a stage: each is at work, and each is scraped."""
    words = [word for stage, count in REPLICAS.items() for word in ("--scale", f"{stage}={count}")]
    stack.up("--no-recreate", *words, *stack.services)
    for stage, count in REPLICAS.items():
        assert len(stack.addresses_of(stage)) == count
    stack.wait_live()
    found = json.loads(stack.cradle("check", "--json"))
    broker = next(each for each in found["findings"] if each["thing"] == "broker")
    for stage, count in REPLICAS.items():
        assert f"{stage} {count}" in broker["text"], broker
    is_scraped(stack)


def is_scraped(stack: Stack) -> None:
    """Prometheus reaches every replica of every stage, and the broker in both ways."""
    eventually(lambda: not stack.not_scraped(), SCRAPED_SECONDS, "all are scraped", every_seconds=2)


def nothing_is_lost(stack: Stack, closed: list[tuple[str, int]], least_epochs: int) -> None:
    """What ingest closed is in the bucket, each fragment once, and the commands agree.

    Ingest has been stopped. `closed` are epoch and number of each fragment, in order.
    """
    epochs = {epoch for epoch, _ in closed}
    assert len(epochs) >= least_epochs, "ingest was begun anew"
    eventually(lambda: len(stack.stored()) >= len(closed), STORED_SECONDS, every_seconds=2)
    assert stack.stored() == closed
    verified = json.loads(stack.cradle("verify", "--all", "--json"))
    assert verified["examined"] >= len(epochs), verified
    assert not verified["damaged"], verified
    [covered] = json.loads(stack.cradle("coverage", "--json"))["cameras"]
    assert covered["stored_seconds"] > 60, covered
    lost = [hole for hole in covered["missing"] if hole["captured"]]
    assert not lost, "captured and not stored"
