"""A collector for tests: takes spans over OTLP/HTTP as a real one does, or misbehaves."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Manner = Literal["good", "refuses", "hangs", "endless"]


@dataclass(frozen=True)
class Received:
    """One span as it came over the wire."""

    name: str
    service: str
    namespace: str
    trace_id: str
    span_id: str
    parent_id: str
    seconds: float
    attributes: dict[str, Any]
    links: tuple[tuple[str, str], ...]
    """(trace id, span id) pairs."""


class Collector:
    """Listens on loopback."""

    def __init__(self, manner: Manner = "good") -> None:
        self.manner: Manner = manner
        self.asked = 0
        self.spans: list[Received] = []
        self.released = threading.Event()
        """Lets go of everybody who hangs."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.answer(self)

            def log_message(self, *_: object) -> None:
                """Silence."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Do to one request what our manner says."""
        self.asked += 1
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if self.manner == "hangs":
            self.released.wait(60)
            return
        assert request.path == "/v1/traces"
        if self.manner == "good":
            self.spans += read(body)
        request.send_response(400 if self.manner == "refuses" else 200, "x" * 10_000)
        request.end_headers()
        try:
            while self.manner == "endless" and not self.released.is_set():
                request.wfile.write(b"x" * 65536)
        except OSError:
            return  # it has heard enough

    def named(self, name: str) -> list[Received]:
        return [span for span in self.spans if span.name == name]


def read(body: bytes) -> list[Received]:
    """The spans of a request."""
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Received(
            name=span.name,
            service=_values(group.resource.attributes)["service.name"],
            namespace=_values(group.resource.attributes)["service.namespace"],
            trace_id=span.trace_id.hex(),
            span_id=span.span_id.hex(),
            parent_id=span.parent_span_id.hex(),
            seconds=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
            attributes=_values(span.attributes),
            links=tuple((each.trace_id.hex(), each.span_id.hex()) for each in span.links),
        )
        for group in request.resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@contextmanager
def collector(manner: Manner = "good") -> Iterator[Collector]:
    """One that runs as long as it is needed."""
    made = Collector(manner)
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.released.set()
        made.server.shutdown()
        made.server.server_close()
