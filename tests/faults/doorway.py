"""The way to the object store, through which every S3 request of the house goes, whole.

It can refuse with 500, be slow, lose the answer to what was done, give it when nobody waits any
more, or let nothing through; and it can be told to strike at the moment when a certain request has
come, or has been done and its answer is not passed on yet. It knows which process asked: the other
end of its connection.
"""

import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, Self

Mood = Literal["well", "errors", "slow", "losing", "late", "held"]
SLOW_SECONDS = 3.0
LATE_SECONDS = 66.0
"""Longer than anybody waits for an answer."""
_TIMEOUT_SECONDS = 60.0
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass
class Trap:
    """To be sprung once, by the first request that fits."""

    method: str
    key: str
    """A pattern that is searched for in the path."""
    moment: Literal["asked", "done"]
    """Before the store hears of it, or after it has done it and before the asker knows."""
    strike: Callable[[int], None]
    """Gets the connection's port on the asker's side. The answer is then never given."""
    sprung: threading.Event = field(default_factory=threading.Event)


class Doorway:
    """A proxy on loopback before the S3 server on a port of loopback."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.mood: Mood = "well"
        self._traps: list[Trap] = []
        self._lock = threading.Lock()
        self._closing = threading.Event()
        doorway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = _TIMEOUT_SECONDS

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - inherited
                pass

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def _pass(self) -> None:
                doorway.serve(self)

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass  # noqa: N815 - inherited

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def set(self, trap: Trap) -> None:
        with self._lock:
            self._traps.append(trap)

    def take_away(self, trap: Trap) -> None:
        with self._lock, suppress(ValueError):
            self._traps.remove(trap)

    def _sprung_by(self, request: BaseHTTPRequestHandler, moment: str) -> Trap | None:
        with self._lock:
            for trap in self._traps:
                fits = trap.method == request.command and re.search(trap.key, request.path)
                if fits and trap.moment == moment:
                    self._traps.remove(trap)
                    return trap
        return None

    def serve(self, request: BaseHTTPRequestHandler) -> None:
        """Pass one request on, or not."""
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        while self.mood == "held" and not self._closing.wait(0.1):
            pass
        if self._falls_into(request, "asked"):
            return
        if self.mood == "errors":
            self._answer(request, 500, {}, b"<Error><Code>InternalError</Code></Error>")
            return
        if self.mood == "slow":
            self._closing.wait(SLOW_SECONDS)
        try:
            status, headers, content = self._ask(request, body)
        except (OSError, HTTPException):
            request.close_connection = True
            return
        if self._falls_into(request, "done"):
            return
        if self.mood == "losing":
            request.close_connection = True
            return
        if self.mood == "late":
            self._closing.wait(LATE_SECONDS)
        self._answer(request, status, headers, content)

    def _falls_into(self, request: BaseHTTPRequestHandler, moment: str) -> bool:
        trap = self._sprung_by(request, moment)
        if trap is None:
            return False
        trap.strike(request.client_address[1])
        trap.sprung.set()
        request.close_connection = True
        return True

    def _ask(
        self, request: BaseHTTPRequestHandler, body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        connection = HTTPConnection("127.0.0.1", self._target, timeout=_TIMEOUT_SECONDS)
        try:
            connection.putrequest(
                request.command, request.path, skip_host=True, skip_accept_encoding=True
            )
            for name, value in request.headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    @staticmethod
    def _answer(
        request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], content: bytes
    ) -> None:
        request.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                request.send_header(name, value)
        length = headers.get("Content-Length") or str(len(content))  # HEAD says it without one
        request.send_header("Content-Length", length)
        request.end_headers()
        request.wfile.write(content)


def process_behind(port: int, pids: list[int]) -> int | None:
    """Which of these processes holds the end of a connection of loopback that has this port."""
    wanted = f"0100007F:{port:04X}"
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[1] == wanted:
            socket = f"socket:[{fields[9]}]"
            return next((pid for pid in pids if socket in _open_files(pid)), None)
    return None


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                found.add(os.readlink(entry.path))
    return found
