"""What all cameras of an archiver share."""

from dataclasses import dataclass

from archiver.commit import Committer
from archiver.desk import Desk
from shared.clock import Clock
from shared.config import ArchiveSettings
from shared.framestore import FrameStore
from shared.link import Link
from shared.log import Log
from shared.objectstore import ObjectStore
from shared.topology import ArchiveQueue
from shared.tracing import Tracer


@dataclass(frozen=True)
class Tools:
    """The parts of one session with the broker."""

    worker: str
    settings: ArchiveSettings
    queue_kind: ArchiveQueue
    link: Link
    store: ObjectStore
    frames: FrameStore
    awaited_seconds: float
    """How long after its capture a fragment may still come."""
    committer: Committer
    desk: Desk
    clock: Clock
    log: Log
    tracer: Tracer | None = None
