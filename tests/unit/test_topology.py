"""The broker's side: arguments are constants, and everything published has somewhere to go."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from types import FunctionType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import topology
from shared.config import Settings
from shared.identity import CAMERA_PATTERN
from shared.messages import Stage
from shared.topology import FRAMES, ArchiveQueue, Queue

CAMERAS = st.from_regex(CAMERA_PATTERN, fullmatch=True)
CLASSIC, QUORUM = ArchiveQueue
QUEUES_OF_A_CAMERA: list[Callable[[str], Queue]] = [
    topology.encoder_queue,
    partial(topology.archiver_queue, kind=CLASSIC),
    partial(topology.archiver_seat_queue, kind=QUORUM),
    topology.ingest_seat_queue,
    topology.stored_queue,
]


def quorum_queue(camera: str) -> Queue:
    return topology.archiver_queue(camera, QUORUM)


def all_queues(camera: str, stage: Stage, replica: str) -> list[Queue]:
    return [
        *(make(camera) for make in [*QUEUES_OF_A_CAMERA, quorum_queue]),
        *topology.common_queues(),
        topology.presence_queue(stage),
        topology.viewer_queue(replica),
    ]


@given(CAMERAS, CAMERAS, st.sampled_from(list(Stage)), st.sampled_from(list(Stage)))
def test_arguments_are_the_same_for_every_camera_stage_and_replica(
    one: str, other: str, stage: Stage, another: Stage
) -> None:
    pairs = zip(all_queues(one, stage, "a"), all_queues(other, another, "b"), strict=True)
    assert all(left.arguments == right.arguments for left, right in pairs)


def test_no_queue_can_see_the_configuration() -> None:
    makers = [each for each in vars(topology).values() if isinstance(each, FunctionType)]
    taken = {
        str(parameter.annotation)
        for make in makers
        for parameter in signature(make).parameters.values()
    }
    assert not any(Settings.__name__ in annotation for annotation in taken)
    assert "config" not in vars(topology)


@given(CAMERAS)
def test_every_queue_but_one_says_that_it_is_classic_and_nothing_forbidden(camera: str) -> None:
    replicated = quorum_queue(camera)
    for queue in all_queues(camera, Stage.INGEST, "1"):
        assert not {"x-queue-mode", "x-consumer-timeout"} & set(queue.arguments)
        if queue != replicated:
            assert queue.arguments["x-queue-type"] == "classic"
            assert "x-delivery-limit" not in queue.arguments


@given(CAMERAS)
def test_what_waits_on_several_nodes_is_the_same_queue_in_order_and_never_given_up(
    camera: str,
) -> None:
    classic, replicated = (topology.archiver_queue(camera, kind) for kind in ArchiveQueue)
    assert (replicated.name, replicated.bindings) == (classic.name, classic.bindings)
    own = dict(replicated.arguments)
    assert own.pop("x-single-active-consumer") is True
    assert int(own.pop("x-delivery-limit")) >= 10_000, "-1 means: at the first, on 3.x"
    assert {**own, "x-queue-type": "classic"} == classic.arguments


@given(CAMERAS)
def test_the_archivers_seat_is_a_classic_queue_that_nothing_reaches_or_the_queue_itself(
    camera: str,
) -> None:
    """On a quorum queue the flag of an exclusive consumer is ignored without a word."""
    beside = topology.archiver_seat_queue(camera, QUORUM)
    assert beside.arguments == {"x-queue-type": "classic"}
    assert beside.bindings == ()
    assert topology.archiver_seat_queue(camera, CLASSIC) == topology.archiver_queue(camera, CLASSIC)


@given(CAMERAS, st.sampled_from(ArchiveQueue))
def test_everything_ingest_publishes_of_a_camera_is_bound(camera: str, kind: ArchiveQueue) -> None:
    bound = {
        binding
        for queue in (*topology.camera_queues(camera, kind), *topology.common_queues())
        for binding in queue.bindings
    }
    assert (FRAMES, topology.batch_key(camera)) in bound
    assert (FRAMES, topology.fragment_key(camera)) in bound
    assert topology.sample_key(camera).startswith("sample.")
    assert (FRAMES, "sample.*") in bound


@given(CAMERAS, CAMERAS)
def test_two_cameras_share_no_queue_of_their_own(one: str, other: str) -> None:
    names = [{make(camera).name for make in QUEUES_OF_A_CAMERA} for camera in (one, other)]
    assert one == other or not names[0] & names[1]


@pytest.mark.parametrize("kind", list(ArchiveQueue))
def test_footage_waits_as_long_as_it_must(kind: ArchiveQueue) -> None:
    arguments = topology.archiver_queue("camera-1", kind).arguments
    assert "x-message-ttl" not in arguments
    assert "x-expires" not in arguments
    assert arguments["x-dead-letter-exchange"] == topology.LOST


def test_arguments_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        topology.encoder_queue("camera-1").arguments["x-max-length"] = 1  # type: ignore[index]
