"""Log-outs, told to every replica of the page over `cradle.events`.

Whoever logs out is told at once, and again with all that have ended once a minute and whenever the
broker is back: a replica that was away, or is new, believes an old cookie for a minute at most. A
message names hashes of session ids only. With the broker away a log-out holds for the replicas of
its host, which share a folder, until the broker is back.
"""

from datetime import UTC, datetime
from typing import Final

from shared.clock import Clock
from shared.link import Link
from shared.messages import MAX_SESSIONS, EndedSession, SessionsEnded
from shared.topology import EVENTS
from viewer.broker import Broker
from viewer.sessions import Ending, Session, Sessions

AGAIN_SECONDS: Final = 60.0


class Endings:
    """What has ended, of one replica and by all. Safe to use from many threads."""

    def __init__(self, name: str, sessions: Sessions, broker: Broker, clock: Clock) -> None:
        self._name = name
        self._sessions = sessions
        self._broker = broker
        self._clock = clock
        self._told_at = float("-inf")

    def end(self, session: Session) -> None:
        """Log out, here and everywhere."""
        self._sessions.end(session.ending)
        link = self._broker.link
        if link is not None:
            self._tell(link, [session.ending])

    def repeat(self, link: Link, *, now: bool = False) -> None:
        """All that have ended, if it is time again."""
        if now or self._clock.monotonic() - self._told_at >= AGAIN_SECONDS:
            self._told_at = self._clock.monotonic()
            self._tell(link, self._sessions.ended())

    def take(self, message: SessionsEnded) -> None:
        """What another replica, or this one, has told."""
        self._sessions.end(
            *(Ending(each.digest, each.forget_at.timestamp()) for each in message.sessions)
        )

    def _tell(self, link: Link, endings: list[Ending]) -> None:
        for at in range(0, len(endings), MAX_SESSIONS):
            message = SessionsEnded(
                worker=self._name,
                sessions=[
                    EndedSession(
                        digest=each.digest,
                        forget_at=datetime.fromtimestamp(each.forget_at, tz=UTC),
                    )
                    for each in endings[at : at + MAX_SESSIONS]
                ],
            )
            link.publish(EVENTS, message.routing_key, message.to_body(), persistent=True)
