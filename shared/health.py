"""Is this worker alive, and what does it count: /healthz and /metrics on a port of its own.

The main loop calls `beat()` each turn. /healthz answers 200 with the states as JSON while the last
beat is young, and the last turn of every other loop that counts, else 503. Before something that is
known to take long (a pause, the first look at a slow store) the loop says so. One thread serves one
request at a time, with time-outs: nobody can pile up work here.
"""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Protocol

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    Gauge,
    disable_created_metrics,
    generate_latest,
)

from shared.clock import Clock
from shared.errors import Misconfigured

FRESH_SECONDS = 20.0

disable_created_metrics()  # type: ignore[no-untyped-call]

LAST_TURN = Gauge(
    "cradle_worker_last_turn_seconds",
    "For how long the worker's loop has not turned: /metrics answers though it hangs.",
)


class Turning(Protocol):
    """Another loop."""

    @property
    def stuck_seconds(self) -> float:
        """For how long it has not turned."""
        ...


class Health:
    """The pulse of a worker."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = clock.monotonic()
        self._states: dict[str, str] = {}
        self._others: tuple[Turning, ...] = ()
        self.turns = 0
        """How often the main loop has turned since the start."""

    def beat(self) -> float:
        """The main loop turns; returns the seconds since it last did (0.0 the first time)."""
        now = self._clock.monotonic()
        gap = max(0.0, now - self._last) if self.turns else 0.0
        self._last = now
        self.turns += 1
        return gap

    def expect(self, seconds: float) -> None:
        """The next turn may be so long in coming: until then its age counts for nothing."""
        self._last = self._clock.monotonic() + seconds

    def follow(self, other: Turning) -> None:
        """From now on another loop counts too."""
        self._others = (*self._others, other)

    def unfollow(self, other: Turning) -> None:
        """It has ended."""
        self._others = tuple(each for each in self._others if each is not other)

    def set(self, subject: str, state: str | None) -> None:
        """Say in a few words how `subject` (a camera id, or a part) is; None takes it out."""
        states = dict(self._states)
        if state is None:
            states.pop(subject, None)
        else:
            states[subject] = state
        self._states = states  # replaced whole: readers on the other thread need no lock

    @property
    def stuck_seconds(self) -> float:
        """For how long one of the loops has not turned."""
        ages = (each.stuck_seconds for each in self._others)
        return max(0.0, self._clock.monotonic() - self._last, *ages)

    def answer(self) -> tuple[int, dict[str, Any]]:
        """Status code and body of /healthz."""
        age = self.stuck_seconds
        alive = age <= FRESH_SECONDS
        body = {"alive": alive, "last_turn_seconds": round(age, 1), "states": self._states}
        return (200 if alive else 503), body

    def serve(self, host: str, port: int) -> int:
        """Serve /healthz and /metrics from a thread; returns the port. Raises Misconfigured."""
        try:
            server = HTTPServer((host, port), _handler(self))
        except OSError as error:
            raise Misconfigured(
                f"metrics.port: {host}:{port} cannot be listened on ({error.strerror}); "
                "choose another port"
            ) from error
        LAST_TURN.set_function(lambda: self.stuck_seconds)
        threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
        return int(server.server_address[1])


def _handler(health: Health) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, generate_latest())
            elif self.path == "/healthz":
                status, body = health.answer()
                self._send(status, "application/json", json.dumps(body).encode())
            else:
                self._send(404, "text/plain", b"try /healthz or /metrics\n")

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: Any) -> None:
            """Nothing: scrapes would drown the log."""

    return Handler
