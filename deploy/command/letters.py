"""A dead letter: what it says of itself, without trust in a byte of it.

Messages come into the queue `lost` in two ways. A worker that cannot obey one sends it there with
its reason (`Link.send_to_lost`); the broker moves one there that a queue could not keep, and writes
`x-death`. Either tells which queue it was for. Equal messages are told apart by their order.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from shared.messages import MAX_MESSAGE_BYTES
from shared.topology import (
    ArchiveQueue,
    Queue,
    analyzer_queue,
    archiver_queue,
    encoder_queue,
    stored_queue,
)

IDENTITY_DIGITS: Final = 10
KINDS: Final = ("batch", "fragment", "epoch-end", "sample", "event")
KEPT_HEADERS: Final = ("traceparent", "tracestate")
"""What a message keeps when it is sent again; the rest told why it was lost."""
_QUEUES: Final = {"encoder": encoder_queue, "stored": stored_queue}
_STAGE_OF: Final = {"fragment": "archiver", "batch": "encoder"}


@dataclass(frozen=True)
class Letter:
    """One message of the queue `lost`."""

    identity: str
    """Of its content and destination; the same at every look."""
    queue: str
    """The queue that it was for; empty if nothing tells."""
    camera: str
    """The camera of that queue or of the message; empty if nothing tells."""
    kind: str
    """What it claims to be, or `unreadable`."""
    reason: str
    lost_at: datetime | None
    """UTC."""
    headers: Mapping[str, Any]
    body: bytes

    @property
    def kept_headers(self) -> dict[str, str | int]:
        """What it is sent again with."""
        return {
            name: value
            for name in KEPT_HEADERS
            if isinstance(value := self.headers.get(name), str | int)
        }


def letter_of(
    body: bytes, headers: Mapping[str, Any], routing_key: str, seen: Counter[str]
) -> Letter:
    """Read a message of the queue `lost`; `seen` counts equal ones between calls. Never fails."""
    queue = _queue_of(headers, routing_key)
    content = _content(body)
    digest = hashlib.sha256(queue.encode() + b"\0" + body).hexdigest()[:IDENTITY_DIGITS]
    seen[digest] += 1
    kind, camera = content.get("kind"), content.get("camera")
    return Letter(
        identity=digest if seen[digest] == 1 else f"{digest}-{seen[digest]}",
        queue=queue,
        camera=queue.partition(".")[2] or (camera if isinstance(camera, str) else ""),
        kind=kind if isinstance(kind, str) and kind in KINDS else "unreadable",
        reason=_reason(headers),
        lost_at=_lost_at(headers),
        headers=headers,
        body=body,
    )


def queue_named(name: str, kind: ArchiveQueue) -> Queue | None:
    """The queue of the topology that has this name; None if there is none."""
    if name == analyzer_queue().name:
        return analyzer_queue()
    stage, _, camera = name.partition(".")
    if stage == "archiver" and camera:
        return archiver_queue(camera, kind)
    return _QUEUES[stage](camera) if stage in _QUEUES and camera else None


def _queue_of(headers: Mapping[str, Any], routing_key: str) -> str:
    first = headers.get("x-first-death-queue")
    if isinstance(first, str):
        return first
    key = str(headers.get("x-cradle-routing-key", routing_key))
    if headers.get("x-cradle-exchange") == "":
        return key  # it had been sent again already: by the name of its queue
    what, _, camera = key.partition(".")
    if what in _STAGE_OF and camera:
        return f"{_STAGE_OF[what]}.{camera}"
    if what == "sample":
        return analyzer_queue().name
    if what == "archiver" and camera.endswith(".stored"):
        return f"stored.{camera.removesuffix('.stored')}"
    return ""


def _reason(headers: Mapping[str, Any]) -> str:
    said = headers.get("x-cradle-reason")
    if isinstance(said, str):
        return said
    death = _death(headers)
    return f"the broker: {death.get('reason', 'it does not say why')}" if death else "none given"


def _lost_at(headers: Mapping[str, Any]) -> datetime | None:
    moment = headers.get("x-cradle-lost-at", _death(headers).get("time"))
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            return None
    if not isinstance(moment, datetime):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _death(headers: Mapping[str, Any]) -> Mapping[str, Any]:
    deaths = headers.get("x-death")
    first = deaths[0] if isinstance(deaths, list) and deaths else None
    return first if isinstance(first, dict) else {}


def _content(body: bytes) -> Mapping[str, Any]:
    if len(body) > MAX_MESSAGE_BYTES:
        return {}
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


# -- for a terminal -------------------------------------------------------------------------------


def visible(text: str, most: int = 500) -> str:
    """Text that commands no terminal: what is not printable is escaped, and it is not endless."""
    cut = text[:most] + ("…" if len(text) > most else "")
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "replace").decode()
        for each in cut
    )


def visible_body(body: bytes, most: int = 4000) -> str:
    """The content as a person reads it: laid out if it is JSON, else as it is, escaped."""
    content = _content(body)
    if content:
        lines = json.dumps(content, indent=1, ensure_ascii=False).split("\n")
    else:
        lines = [body[:most].decode("utf-8", "backslashreplace")]
    shown = "\n".join(visible(line, most) for line in lines)
    if len(shown) > most or len(body) > most:
        shown = f"{shown[:most]}\n… {len(body)} bytes in all"
    return shown
