"""An HTTP server that answers every request alike: a store that is unwell, or no store at all."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answers(BaseHTTPRequestHandler):
    """Answers every request with `status`, and nothing more."""

    protocol_version = "HTTP/1.1"
    status = 200

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _answer  # noqa: N815 - inherited

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def answering(status: int) -> Iterator[str]:
    """Its address, while it answers with this status."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Fixed", (Answers,), {"status": status}))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
