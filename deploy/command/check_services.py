"""Reaches the broker and the object store, and does what workers will ask of them.

At the broker: declares what belongs to no camera, and sends one message through a queue of its own,
which the broker drops after a minute. At the store: writes one key twice, which must be refused.
"""

import secrets
from typing import Final

from deploy.command.finding import Finding, State
from shared.bucketplace import BucketPlace
from shared.config import ArchiveSettings, BrokerSettings
from shared.errors import Unavailable
from shared.link import Link
from shared.livestore import LiveStore
from shared.messages import Stage
from shared.objectstore import ObjectStore
from shared.topology import EVENTS, Queue, analyzer_queue, lost_queue, presence_queue

OLDEST_VERSION: Final = (3, 10)
SERVICE_SECONDS: Final = 40.0
SEATED_STAGES: Final = (Stage.INGEST, Stage.ENCODER, Stage.ARCHIVER)
_PROBE_MILLISECONDS: Final = 60_000


def check_broker(settings: BrokerSettings) -> Finding:
    """Raises Misconfigured, Unavailable."""
    with Link(settings.url, "cradle check", settings.heartbeat_seconds) as link:
        workers = {
            stage.value: link.declare(presence_queue(stage)).consumers for stage in SEATED_STAGES
        }
        workers[Stage.ANALYZER.value] = link.declare(analyzer_queue()).consumers
        lost = link.declare(lost_queue()).messages
        _send_through(link)
        version, address = link.server_version, link.address
    at_work = ", ".join(f"{stage} {count}" for stage, count in workers.items() if count)
    text = f"{address}: RabbitMQ {version}; workers: {at_work or 'none yet'}"
    state = State.OK
    if version_of(version) < OLDEST_VERSION:
        state = State.WARN
        text += "; Cradle was tested with 3.10 and later"
    if lost:
        state = State.WARN
        text += f"; {lost} messages lie in the queue `lost`"
    facts = {"address": address, "version": version, "workers": workers, "lost": lost}
    return Finding("broker", state, text, facts)


def version_of(text: str) -> tuple[int, ...]:
    """`3.10.8` as numbers, as far as it goes."""
    numbers = []
    for part in text.split("."):
        if not part.isdecimal():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _send_through(link: Link) -> None:
    """Declare, bind, publish and get, as workers do."""
    name = f"cradle.check.{secrets.token_hex(6)}"
    arguments: dict[str, str | int] = {
        "x-queue-type": "classic",
        "x-expires": _PROBE_MILLISECONDS,
    }
    queue = Queue(name, arguments, ((EVENTS, name),))
    link.declare(queue)
    try:
        link.publish_and_wait(EVENTS, name, b"{}")
    except Unavailable as error:
        raise Unavailable(
            f"{link.address} takes no messages ({error}); is it short of memory or disk?"
        ) from error
    delivery = link.get(queue)
    if delivery is None:
        raise Unavailable(f"{link.address} took a message and did not deliver it")
    delivery.ack()


def check_store(settings: ArchiveSettings) -> Finding:
    """Raises Misconfigured, StoreUnavailable."""
    ObjectStore(settings).probe()
    text = f"{settings.endpoint}: bucket {settings.bucket}; a second write of a key is refused"
    return Finding(
        "store", State.OK, text, {"endpoint": settings.endpoint, "bucket": settings.bucket}
    )


def check_frames(settings: ArchiveSettings, place: BucketPlace) -> Finding:
    """Raises Misconfigured, StoreUnavailable."""
    ObjectStore(settings, place.bucket, named="frames.url").probe()
    text = f"bucket {place.bucket}; a second write of a key is refused"
    return Finding("frames bucket", State.OK, text, {"bucket": place.bucket})


def check_live(settings: ArchiveSettings, place: BucketPlace) -> Finding:
    """Raises Misconfigured, StoreUnavailable."""
    LiveStore(settings, place).probe()
    text = f"bucket {place.bucket}; a playlist is replaced by who knows it, and by nobody else"
    return Finding("live bucket", State.OK, text, {"bucket": place.bucket})
