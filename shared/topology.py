"""Exchanges, queues and routing keys: everything the broker is asked to hold.

Every queue is durable and sends `x-queue-type`, so that a default on the broker cannot change what
it is. All are classic but one, of which a cluster may keep copies (`ArchiveQueue`). No argument
depends on the number of replicas or, but for that one word, on configuration: a changed argument is
refused with 406 and would need a drain. Works unchanged on RabbitMQ 3.10 to 4.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from shared.messages import Stage

FRAMES: Final = "cradle.frames"
EVENTS: Final = "cradle.events"
LOST: Final = "cradle.lost"
EXCHANGES: Final = (FRAMES, EVENTS, LOST)

DELIVERY_LIMIT: Final = 100_000
"""So often a quorum queue delivers a message before it goes to `cradle.lost`: given back each half
minute, after a month. Always sent: without it 4.x gives up after 20 times, and -1, which means
"never" there, means "at the first" on 3.x."""

_HOUR: Final = 3_600_000  # milliseconds, the broker's unit


class ArchiveQueue(StrEnum):
    """What holds the references of closed fragments until their clip is committed."""

    CLASSIC = "classic"
    """On one node of the broker. Its exclusive consumer is the archiver's seat."""
    QUORUM = "quorum"
    """On a majority of the nodes. It does not know exclusive consumers (the flag is ignored without
    a word), so a classic queue beside it is the seat, and a single active consumer keeps order."""


@dataclass(frozen=True)
class Queue:
    """A queue as it is declared, with the bindings that feed it."""

    name: str
    arguments: Mapping[str, str | int]
    bindings: tuple[tuple[str, str], ...] = field(default=())
    """(exchange, routing key) pairs."""


def _queue(name: str, *bindings: tuple[str, str], **arguments: str | int) -> Queue:
    """Arguments by keyword: `x_max_length` is sent as `x-max-length`."""
    sent = {key.replace("_", "-"): value for key, value in arguments.items()}
    return Queue(name, MappingProxyType({"x-queue-type": "classic"} | sent), bindings)


def encoder_queue(camera: str) -> Queue:
    """Batches of one camera. Only what is live matters: old ones fall out at the head."""
    return _queue(
        f"encoder.{camera}",
        (FRAMES, f"batch.{camera}"),
        x_message_ttl=5_000,
        x_max_length=64,
        x_overflow="drop-head",
        x_expires=_HOUR,
    )


def archiver_queue(camera: str, kind: ArchiveQueue) -> Queue:
    """Fragments of one camera, kept until their clip is committed; the length is a fuse.

    What the fuse drops goes to `cradle.lost`, at most once: a quorum queue moves it there for
    certain only if it refuses what is new instead, and what is dropped is in the frame store.
    """
    replicated: dict[str, str | int] = {}
    if kind is ArchiveQueue.QUORUM:
        replicated = {
            "x_queue_type": "quorum",
            "x_single_active_consumer": True,
            "x_delivery_limit": DELIVERY_LIMIT,
        }
    return _queue(
        f"archiver.{camera}",
        (FRAMES, f"fragment.{camera}"),
        x_dead_letter_exchange=LOST,
        x_max_length=1_000_000,
        x_overflow="drop-head",
        **replicated,
    )


def archiver_seat_queue(camera: str, kind: ArchiveQueue) -> Queue:
    """Its exclusive consumer holds the right to archive this camera."""
    if kind is ArchiveQueue.CLASSIC:
        return archiver_queue(camera, kind)
    return _queue(f"seat.archiver.{camera}")


def analyzer_queue() -> Queue:
    """Samples of all cameras, for whichever analyzer is free."""
    return _queue(
        "analyzer",
        (FRAMES, "sample.*"),
        x_max_length=32,
        x_message_ttl=30_000,
        x_overflow="drop-head",
    )


def ingest_seat_queue(camera: str) -> Queue:
    """Nothing arrives here: its exclusive consumer holds the right to this camera's connection."""
    return _queue(f"seat.ingest.{camera}")


def stored_queue(camera: str) -> Queue:
    """What the archiver committed of one camera, for ingest's janitor. A hint: the bucket knows."""
    return _queue(
        f"stored.{camera}",
        (EVENTS, f"{Stage.ARCHIVER}.{camera}.stored"),
        x_max_length=100_000,
        x_overflow="drop-head",
    )


def presence_queue(stage: Stage) -> Queue:
    """Its consumers are the living workers of a stage; nothing arrives."""
    return _queue(f"presence.{stage}")


def viewer_queue(replica: str) -> Queue:
    """Events for one replica of the page."""
    return _queue(
        f"viewer.{replica}",
        (EVENTS, "#"),
        x_expires=_HOUR,
        x_max_length=10_000,
        x_overflow="drop-head",
    )


def lost_queue() -> Queue:
    """Dead letters, kept a week for people to look at."""
    return _queue(
        "lost",
        (LOST, "#"),
        x_max_length=100_000,
        x_message_ttl=7 * 24 * _HOUR,
        x_overflow="drop-head",
    )


def camera_queues(camera: str, kind: ArchiveQueue) -> tuple[Queue, ...]:
    """What ingest declares before its first publish for a camera, and again while it runs."""
    return (encoder_queue(camera), archiver_queue(camera, kind), stored_queue(camera))


def common_queues() -> tuple[Queue, ...]:
    """Queues that belong to no camera."""
    return (analyzer_queue(), lost_queue())


def batch_key(camera: str) -> str:
    return f"batch.{camera}"


def fragment_key(camera: str) -> str:
    return f"fragment.{camera}"


def sample_key(camera: str) -> str:
    return f"sample.{camera}"
