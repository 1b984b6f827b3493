"""A local HTTP server that answers `models/X:generateContent` as Google's Gemini API does.

The real libraries talk to it over real HTTP, so that what they do with each answer (raise, retry,
swallow) is seen and not assumed. It answers from a script, the last answer again and again, and
keeps every request. The shapes of errors are Google's: `google.rpc.Status` with `RetryInfo`,
`QuotaFailure` and `ErrorInfo` details. As with every protobuf API, field names may come in either
spelling (`mime_type`, `mimeType`), and enums go out as numbers to a client that asks for that.
"""

import base64
import json
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

GOOD: dict[str, str] = {
    "evidence": "Two small children sit on a mat among blocks.",
    "main_activity": "playing",
    "other_activity": "none",
    "present_adults": "one",
    "present_children": "several",
    "summary": "Two children play with blocks, an adult sits beside them.",
    "view": "clear",
}
_TYPE = "type.googleapis.com/google.rpc."
_NUMBERS = {
    "finishReason": {
        "STOP": 1,
        "MAX_TOKENS": 2,
        "SAFETY": 3,
        "IMAGE_PROHIBITED_CONTENT": 14,
    },
    "blockReason": {"SAFETY": 1, "PROHIBITED_CONTENT": 4},
}
"""Of `generative_service.proto`, v1beta."""


@dataclass(frozen=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes
    content_type: str = "application/json; charset=UTF-8"
    hang: bool = False
    """Say nothing until the server closes."""


@dataclass(frozen=True)
class Request:
    """One request that came in."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def parts(self) -> list[dict[str, Any]]:
        """What the user's turn holds: texts and pictures."""
        parts: list[dict[str, Any]] = self.body["contents"][0]["parts"]
        return parts

    @property
    def jpegs(self) -> list[bytes]:
        """The pictures. Protobuf's JSON takes both alphabets of base64."""
        sent = [part["inlineData"]["data"] for part in self.parts if "inlineData" in part]
        return [base64.b64decode(each.replace("-", "+").replace("_", "/")) for each in sent]


def _json(status: int, body: Any) -> Answer:
    return Answer(status, json.dumps(body).encode())


def said(text: str, finish: str = "STOP", prompt: int = 1500, answer: int = 120) -> Answer:
    """A candidate with this text."""
    return _json(
        200,
        {
            "candidates": [
                {
                    "content": {"parts": [{"text": text}], "role": "model"},
                    "finishReason": finish,
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": prompt,
                "candidatesTokenCount": answer,
                "totalTokenCount": prompt + answer + 30,  # 30 tokens of thinking
                "thoughtsTokenCount": 30,
            },
            "modelVersion": "gemini-2.5-flash",
            "responseId": "a1",
        },
    )


def good(**changed: str) -> Answer:
    """An observation in the asked form, perhaps with other values in it."""
    return said(json.dumps({**GOOD, **changed}))


def truncated() -> Answer:
    """JSON text that breaks off, as when the token limit is met."""
    return said(json.dumps(GOOD)[:60])


def blocked_prompt(reason: str = "PROHIBITED_CONTENT") -> Answer:
    return _json(
        200,
        {
            "promptFeedback": {"blockReason": reason},
            "usageMetadata": {"promptTokenCount": 1500, "totalTokenCount": 1500},
        },
    )


def blocked_candidate(reason: str = "SAFETY") -> Answer:
    return _json(
        200,
        {
            "candidates": [{"finishReason": reason, "index": 0}],
            "usageMetadata": {"promptTokenCount": 1500, "totalTokenCount": 1500},
        },
    )


def error(status: int, name: str, message: str, details: Sequence[dict[str, Any]] = ()) -> Answer:
    inner: dict[str, Any] = {"code": status, "message": message, "status": name}
    if details:
        inner["details"] = list(details)
    return _json(status, {"error": inner})


def exhausted(*quota_ids: str, retry_delay: str | None = None) -> Answer:
    """429, with the quotas that were exceeded and perhaps the wait that Google asks for."""
    details: list[dict[str, Any]] = []
    if quota_ids:
        violations = [
            {"quotaMetric": "generativelanguage.googleapis.com/x", "quotaId": each}
            for each in quota_ids
        ]
        details.append({"@type": f"{_TYPE}QuotaFailure", "violations": violations})
    if retry_delay is not None:
        details.append({"@type": f"{_TYPE}RetryInfo", "retryDelay": retry_delay})
    return error(429, "RESOURCE_EXHAUSTED", "You exceeded your current quota.", details)


def throttled(retry_delay: str | None = "7s") -> Answer:
    return exhausted("GenerateRequestsPerMinutePerProjectPerModel", retry_delay=retry_delay)


def daily_quota() -> Answer:
    """Google sends a short retryDelay with it all the same."""
    return exhausted("GenerateRequestsPerDayPerProjectPerModel", retry_delay="21s")


def bad_key() -> Answer:
    details = {"@type": f"{_TYPE}ErrorInfo", "reason": "API_KEY_INVALID"}
    return error(400, "INVALID_ARGUMENT", "API key not valid.", [details])


def internal() -> Answer:
    return error(500, "INTERNAL", "An internal error has occurred.")


def overloaded() -> Answer:
    return error(503, "UNAVAILABLE", "The model is overloaded. Please try again later.")


def html(status: int = 200) -> Answer:
    """What a proxy or a captive portal puts in between."""
    return Answer(status, b"<html><body><h1>Welcome</h1></body></html>", "text/html")


def silence() -> Answer:
    return Answer(200, b"", hang=True)


def _spelled(value: Any) -> Any:
    """Field names in one spelling; the names under `properties` are the schema's own."""
    if isinstance(value, list):
        return [_spelled(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        re.sub(r"_([a-z])", lambda match: match[1].upper(), key): (
            {name: _spelled(each) for name, each in inner.items()}
            if key == "properties"
            else _spelled(inner)
        )
        for key, inner in value.items()
    }


def _numbered(body: bytes) -> bytes:
    """Enums as numbers."""
    text = body.decode()
    for field, numbers in _NUMBERS.items():
        for name, number in numbers.items():
            text = text.replace(f'"{field}": "{name}"', f'"{field}": {number}')
    return text.encode()


class GeminiServer:
    """Serves on loopback while entered."""

    def __init__(self, *script: Answer) -> None:
        self.requests: list[Request] = []
        self._script = list(script) or [good()]
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def script(self, *answers: Answer) -> None:
        """Give these from now on."""
        with self._lock:
            self._script = list(answers)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Be gone: connections that are open are cut, others refused."""
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            return self._script.pop(0) if len(self._script) > 1 else self._script[0]

    @property
    def _is_closed(self) -> bool:
        return self._closing.is_set()

    def _wait(self) -> None:
        self._closing.wait(30)


def _handler(server: GeminiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30
        wbufsize = 65536  # headers and body in one packet

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if server._is_closed:
                self.close_connection = True
                return
            if not self.path.partition("?")[0].endswith(":generateContent"):
                self._send(error(404, "NOT_FOUND", f"no method {self.path}"))
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = server._answer(Request(self.path, headers, _spelled(json.loads(body))))
            if answer.hang:
                server._wait()
                self.close_connection = True
                return
            if "enum-encoding%3Dint" in self.path:
                answer = replace(answer, body=_numbered(answer.body))
            self._send(answer)

        def _send(self, answer: Answer) -> None:
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *arguments: Any) -> None:
            """Nothing."""

    return Handler
