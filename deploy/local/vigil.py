"""When does a worker hang? Asked of its /healthz, from outside.

A worker that is merely slow must live: on a machine that is short of time everybody is late, and a
restart makes it worse. So it hangs only if every look for `limit_seconds` on end found that it does
not answer, or that its loop has not turned for `FRESH_SECONDS`; one good answer in between and the
count begins anew. It takes a number of looks as well: after a pause of the whole machine one look
sees a long silence. A worker that has never answered yet may still be starting, and is given more.
"""

from http.client import HTTPConnection, HTTPException
from typing import Final

from shared.config import Settings

HUNG_SECONDS: Final = 60.0
"""Without a good answer for so long a worker hangs."""
FIRST_ANSWER_SECONDS: Final = 300.0
"""The same, before its first answer: libraries are slow to load where everything is."""
LOOKS: Final = 10
"""At least so many looks must have found it so."""
BROKER_HEARTBEATS: Final = 3.0
"""A broker that is frozen holds its workers up until they miss its heartbeats, which is no fault of
theirs: 26 s without a turn were seen at a heartbeat of 10 s."""


def patience_seconds(hung_seconds: float, settings: Settings) -> float:
    """How long the answers of a worker must be bad, where `hung_seconds` are asked for."""
    return max(hung_seconds, BROKER_HEARTBEATS * settings.broker.heartbeat_seconds)


class Vigil:
    """Looks at one worker from time to time, through all its lives."""

    def __init__(self, host: str, port: int, limit_seconds: float = HUNG_SECONDS) -> None:
        """`host` is what the worker listens on."""
        self._host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
        self._port = port
        self._limit_seconds = limit_seconds
        self._pause_seconds = limit_seconds / (2 * LOOKS)
        self._look_at = 0.0
        self._has_answered = False
        self._bad_looks = 0
        self._bad_since = 0.0

    def begin(self) -> None:
        """The worker was started."""
        self._has_answered = False
        self._bad_looks = 0

    def look(self, now: float) -> str | None:
        """Look if it is time; why the worker hangs, None if it does not. `now` is monotonic."""
        if now < self._look_at:
            return None
        self._look_at = now + self._pause_seconds
        fault = self._fault()
        if fault is None:
            self._bad_looks = 0
            return None
        if not self._bad_looks:
            self._bad_since = now
        self._bad_looks += 1
        limit_seconds = self._limit_seconds
        if not self._has_answered:
            limit_seconds = max(limit_seconds, FIRST_ANSWER_SECONDS)
        if self._bad_looks < LOOKS or now - self._bad_since < limit_seconds:
            return None
        self._bad_looks = 0  # one that the kernel holds dies late: it is not struck every second
        return f"{fault}, seen for {now - self._bad_since:.0f} s"

    def _fault(self) -> str | None:
        """What is wrong with its answer."""
        connection = HTTPConnection(self._host, self._port, timeout=self._pause_seconds)
        try:
            connection.request("GET", "/healthz")
            status = connection.getresponse().status
        except (OSError, HTTPException):
            return "it does not answer"
        finally:
            connection.close()
        self._has_answered = True
        return None if status == 200 else "its loop does not turn"
