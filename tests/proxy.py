"""A TCP proxy that loses answers: the server has done its work, and the client never hears of it.

`lose` names a request by the beginning of its head; when it has been passed on and the server
begins to answer, both connections are cut. It knows just enough HTTP for that: a client sends one
request after the other on a connection and waits for each answer, as urllib3 does.
"""

import re
import socket
import threading
from contextlib import suppress
from typing import Self

_TIMEOUT_SECONDS = 30.0


class LossyProxy:
    """A proxy on loopback in front of one server."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[str] = []
        """First lines of all requests that were passed on."""
        self.lost: list[str] = []
        """First lines of the requests whose answers were lost."""
        self._to_lose: list[re.Pattern[str]] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def lose(self, first_line: str, times: int = 1) -> None:
        """Lose the answers to the next requests whose first line matches this expression."""
        with self._lock:
            self._to_lose += [re.compile(first_line)] * times

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server, _TIMEOUT_SECONDS) as server:
            doomed = threading.Event()
            client.settimeout(_TIMEOUT_SECONDS)
            back = threading.Thread(
                target=self._pass_back, args=(server, client, doomed), daemon=True
            )
            back.start()
            with suppress(OSError):
                while data := client.recv(65536):
                    self._note(data, doomed)
                    server.sendall(data)
            _cut(server)
            back.join(_TIMEOUT_SECONDS)

    def _note(self, data: bytes, doomed: threading.Event) -> None:
        head = re.match(rb"(?:GET|HEAD|PUT|POST|DELETE) \S+ HTTP/1\.1(?=\r\n)", data)
        if head is None:
            return
        line = head.group().decode()
        self.requests.append(line)
        with self._lock:
            pattern = next((each for each in self._to_lose if each.match(line)), None)
            if pattern is not None:
                self._to_lose.remove(pattern)
                self.lost.append(line)
                doomed.set()

    @staticmethod
    def _pass_back(server: socket.socket, client: socket.socket, doomed: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                if doomed.is_set():
                    break
                client.sendall(data)
        _cut(client)
        _cut(server)


def _cut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
