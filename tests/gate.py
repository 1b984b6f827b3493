"""A way to a server that can be shut, held or slow: a network that breaks off, or goes silent.

Shut, connections are broken and new ones refused. Held, they stay open and nothing passes, as when
a cable is pulled or a firewall forgets them. It carries TCP: a broker, a store, a camera.
"""

import socket
import threading
from contextlib import suppress
from typing import Literal, Self
from urllib.parse import urlsplit, urlunsplit

Way = Literal["there", "back"]
"""To the server, or from it."""


class Gate:
    """A gate on loopback before one server."""

    def __init__(self, url: str) -> None:
        """`url` is the server's, of any scheme, with a port; see `url` for the way through."""
        parts = urlsplit(url)
        self._target = (parts.hostname or "", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        login, at, _ = parts.netloc.rpartition("@")
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{port}"))
        """The server's address, through the gate."""
        self.refused = 0
        """Connections refused while it was shut."""
        self._shut = threading.Event()
        self._flows: dict[Way, threading.Event] = {
            "there": threading.Event(),
            "back": threading.Event(),
        }
        self._let_flow()
        self.delay_seconds = 0.0
        """By which everything is late, on each of both ways."""
        self._gone = threading.Event()
        self._through: list[socket.socket] = []
        self._cut_off: list[socket.socket] = []
        """Of connections that were cut; whole pairs."""

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._through += self._cut_off
        self.shut()
        self._gone.set()
        self._let_flow()
        self._listener.close()

    def shut(self) -> None:
        """Break every connection, and refuse new ones."""
        self._shut.set()
        while self._through:
            with suppress(OSError):
                self._through.pop().shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """Break every connection on the client's side only: the server does not notice."""
        cut, self._through = self._through, []
        self._cut_off += cut
        for inside in cut[::2]:
            with suppress(OSError):
                inside.shutdown(socket.SHUT_RDWR)

    def hold(self, *ways: Way) -> None:
        """Let nothing through, there or back or both, and close nothing."""
        for way in ways or self._flows:
            self._flows[way].clear()

    def open(self) -> None:
        self._let_flow()
        self._shut.clear()

    def _let_flow(self) -> None:
        for flow in self._flows.values():
            flow.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                inside, _ = self._listener.accept()
                if self._shut.is_set():
                    self.refused += 1
                    inside.close()
                    continue
                try:
                    outside = socket.create_connection(self._target, timeout=10)
                except OSError:
                    inside.close()
                    continue
                outside.settimeout(None)
                self._through += [inside, outside]
                for way in ((inside, outside, "there"), (outside, inside, "back")):
                    threading.Thread(target=self._pass, args=way, daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, way: Way) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows[way].wait()
                self._gone.wait(self.delay_seconds)
                if source in self._cut_off:  # a farewell on the second, when the first was cut
                    return
                sink.sendall(data)
        if source in self._cut_off:
            return
        for each in (source, sink):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
