"""Rights at the broker: what each stage may make, write and read, and with which routing keys.

RabbitMQ asks for `configure` to declare or delete, `write` to publish to an exchange or to bind a
queue, `read` to consume a queue or to bind to an exchange, and for both `read` of a queue and
`write` to its dead-letter exchange when that queue is made. Routing keys are looked at on top
(topic permissions). No stage may make or delete an exchange: they are made here.
"""

from dataclasses import dataclass, field
from typing import Final

from shared.messages import Stage
from shared.topology import EVENTS, FRAMES, LOST

NOTHING: Final = "^$"
EVERYTHING: Final = ".*"
OPERATOR: Final = "operator"
"""Who runs `cradle` commands: looks at every queue and sends dead letters to their own again."""


@dataclass(frozen=True)
class Topics:
    """Routing keys of one exchange, as regular expressions."""

    write: str = NOTHING
    read: str = NOTHING


@dataclass(frozen=True)
class BrokerRights:
    """Regular expressions for names of queues and exchanges, as RabbitMQ keeps them."""

    configure: str
    write: str
    read: str
    topics: dict[str, Topics] = field(default_factory=dict)
    """By exchange; an exchange that is not named gives no topic."""


def _names(*patterns: str) -> str:
    return f"^({'|'.join(patterns)})$"


_FRAMES, _EVENTS, _LOST = (name.replace(".", r"\.") for name in (FRAMES, EVENTS, LOST))
_ENCODER, _ARCHIVER, _STORED = r"encoder\..+", r"archiver\..+", r"stored\..+"
_ARCHIVER_SEAT: Final = r"seat\.archiver\..+"  # beside a quorum queue
_DEAD_LETTERS: Final = Topics(write=EVERYTHING)


def _own_events(stage: Stage) -> Topics:
    return Topics(write=rf"^{stage}\..+")


RIGHTS: Final[dict[str, BrokerRights]] = {
    # It makes the queues of all stages before the first message; it reads only its own. (To make
    # `archiver.<camera>`, which has a dead-letter exchange, the broker wants `read` of it.)
    Stage.INGEST: BrokerRights(
        configure=_names(
            *(_ENCODER, _ARCHIVER, _STORED, "analyzer", "lost"),
            *(r"seat\.ingest\..+", r"presence\.ingest"),
        ),
        write=_names(_FRAMES, _EVENTS, _LOST, _ENCODER, _ARCHIVER, _STORED, "analyzer", "lost"),
        read=_names(
            *(_FRAMES, _EVENTS, _LOST, _ARCHIVER, _STORED),
            *(r"seat\.ingest\..+", r"presence\.ingest"),
        ),
        topics={
            FRAMES: Topics(r"^(batch|fragment|sample)\..+", r"^(batch|fragment|sample)\..+"),
            EVENTS: Topics(rf"^{Stage.INGEST}\..+", rf"^{Stage.ARCHIVER}\.[^.]+\.stored$"),
            LOST: Topics(EVERYTHING, EVERYTHING),
        },
    ),
    Stage.ENCODER: BrokerRights(
        configure=_names(_ENCODER, r"presence\.encoder"),
        write=_names(_EVENTS, _ENCODER),
        read=_names(_FRAMES, _ENCODER, r"presence\.encoder"),
        topics={FRAMES: Topics(read=r"^batch\..+"), EVENTS: _own_events(Stage.ENCODER)},
    ),
    Stage.ARCHIVER: BrokerRights(
        configure=_names(_ARCHIVER, _ARCHIVER_SEAT, r"presence\.archiver"),
        write=_names(_EVENTS, _LOST, _ARCHIVER),
        read=_names(_FRAMES, _ARCHIVER, _ARCHIVER_SEAT, r"presence\.archiver"),
        topics={
            FRAMES: Topics(read=r"^fragment\..+"),
            EVENTS: _own_events(Stage.ARCHIVER),
            LOST: _DEAD_LETTERS,
        },
    ),
    Stage.ANALYZER: BrokerRights(
        configure=_names("analyzer", "lost"),
        write=_names(_EVENTS, _LOST, "analyzer", "lost"),
        read=_names(_FRAMES, _LOST, "analyzer"),
        topics={
            FRAMES: Topics(read=r"^sample\..+"),
            EVENTS: _own_events(Stage.ANALYZER),
            LOST: Topics(EVERYTHING, EVERYTHING),
        },
    ),
    # It only looks at the queues of others, for which the broker asks for no right. As it faces
    # people, it may tell its replicas of log-outs, and nobody of clips.
    Stage.VIEWER: BrokerRights(
        configure=_names(r"viewer\..+"),
        write=_names(_EVENTS, r"viewer\..+"),
        read=_names(_EVENTS, r"viewer\..+"),
        topics={EVENTS: Topics(rf"^{Stage.VIEWER}\..+", EVERYTHING)},
    ),
    OPERATOR: BrokerRights(
        EVERYTHING,
        EVERYTHING,
        EVERYTHING,
        {exchange: Topics(EVERYTHING, EVERYTHING) for exchange in (FRAMES, EVENTS, LOST)},
    ),
}
"""By the name of the broker's user."""
