"""The door: everything that is not said to be open needs a login.

A plain ASGI layer around the whole application, so that a route that somebody adds is closed until
it is named here. It finds the session of the cookie, demands the CSRF token of requests that change
something, bounds what a request may bring, and puts the security headers on every answer.
"""

import hmac
import json
import sqlite3
from collections.abc import MutableMapping
from typing import Annotated, Any, Final
from urllib.parse import quote

from fastapi import Depends, HTTPException, Request
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.clock import Clock
from shared.errors import Misconfigured
from shared.log import Log
from viewer.limits import MOST_BODY_BYTES
from viewer.sessions import Session, Sessions

COOKIE: Final = "cradle_session"
CSRF_HEADER: Final = "x-csrf-token"
OPEN_PAGES: Final = frozenset({"/login", "/setup"})
OPEN_CALLS: Final = frozenset(
    {("GET", "/api/entrance"), ("POST", "/api/session"), ("POST", "/api/setup")}
)
"""Called by the pages before anybody is logged in."""
OPEN_FOLDER: Final = "/assets/"
"""Scripts and styles: nothing of a room is in them."""
CHANGING: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})

HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; font-src 'self'; "
    "worker-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), interest-cohort=()",
}
STRICT_TRANSPORT: Final = "max-age=31536000"


SECONDS = Histogram(
    "cradle_viewer_request_seconds",
    "From a request to the head of its answer.",
    ["route"],
    buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
RESPONSES = Counter("cradle_viewer_responses_total", "Answers, by class of status.", ["status"])
for _status in ("2xx", "3xx", "4xx", "5xx"):
    RESPONSES.labels(_status)


class Guard:
    """The layer."""

    def __init__(self, app: ASGIApp, sessions: Sessions, clock: Clock, log: Log) -> None:
        self._app = app
        self._sessions = sessions
        self._clock = clock
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_secure = scope["scheme"] == "https"
        began_at = self._clock.monotonic()
        has_answered = False

        async def send_guarded(message: Message) -> None:
            nonlocal has_answered
            if message["type"] == "http.response.start":
                has_answered = True
                RESPONSES.labels(f"{message['status'] // 100}xx").inc()
                route = getattr(scope.get("route"), "path", "none")
                SECONDS.labels(route).observe(self._clock.monotonic() - began_at)
                _add_headers(MutableHeaders(scope=message), is_secure=is_secure)
            await send(message)

        headers = Headers(scope=scope)
        try:
            session = self._sessions.find(_cookie(headers))
        except (Misconfigured, sqlite3.Error) as error:
            self._log.error("nobody can log in", action="session.unknown", reason=str(error))
            session = None
        scope["session"] = session
        refusal = _refusal(scope["method"], scope["path"], headers, session)
        if refusal is not None:
            await _answer(send_guarded, *refusal)
            return
        try:
            await self._app(scope, _bounded(receive), send_guarded)
        except Exception:
            if not has_answered:  # the server answers 500, past this layer
                RESPONSES.labels("5xx").inc()
            raise


Refusal = tuple[int, dict[str, str], dict[str, str]]
"""Status, body, headers."""


def _refusal(method: str, path: str, headers: Headers, session: Session | None) -> Refusal | None:
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > MOST_BODY_BYTES:
        return 413, {"detail": "the request is too large"}, {}
    if path in OPEN_PAGES or path.startswith(OPEN_FOLDER):
        return None
    if (method, path) in OPEN_CALLS:
        return None if _is_ours(method, headers) else (403, {"detail": "from another page"}, {})
    if session is None:
        is_page = not path.startswith("/api/") and method in {"GET", "HEAD"}
        to_login = {"location": f"/login?next={quote(path, safe='/')}"}
        return (303, {}, to_login) if is_page else (401, {"detail": "log in"}, {})
    return None if _is_meant(method, headers, session) else (403, {"detail": "no CSRF token"}, {})


def _is_meant(method: str, headers: Headers, session: Session) -> bool:
    """Whoever changes something brings the token that only our own page can know."""
    given = headers.get(CSRF_HEADER, "").encode()
    return method not in CHANGING or hmac.compare_digest(given, session.csrf_token.encode())


def _is_ours(method: str, headers: Headers) -> bool:
    """No other site's page may log a browser in. Browsers say where a request comes from."""
    if method not in CHANGING:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host", "")


def _cookie(headers: Headers) -> str | None:
    return cookie_parser(headers.get("cookie", "")[:8000]).get(COOKIE)


def _bounded(receive: Receive) -> Receive:
    received = 0

    async def bounded() -> MutableMapping[str, Any]:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > MOST_BODY_BYTES:
            raise HTTPException(413, "the request is too large")
        return message

    return bounded


def _add_headers(headers: MutableHeaders, *, is_secure: bool) -> None:
    for name, value in HEADERS.items():
        headers[name] = value
    if is_secure:
        headers["strict-transport-security"] = STRICT_TRANSPORT
    if "cache-control" not in headers:
        headers["cache-control"] = "no-store"


async def _answer(send: Send, status: int, content: dict[str, str], more: dict[str, str]) -> None:
    body = json.dumps(content).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **more}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


# -- for routes -----------------------------------------------------------------------------------


async def _session(request: Request) -> Session:
    session: Session | None = request.scope.get("session")
    if session is None:  # the guard has let nobody through
        raise HTTPException(401, "log in first")
    return session


async def _operator(request: Request) -> Session:
    session = await _session(request)
    if session.user.role != "operator":
        raise HTTPException(403, "only operators may do this")
    return session


Watcher = Annotated[Session, Depends(_session)]
"""Somebody who is logged in."""
Operator = Annotated[Session, Depends(_operator)]
"""Somebody who is logged in as an operator."""
