"""uvicorn on a thread of its own: listens, answers, and ends in order."""

import asyncio
import socket
import threading
from functools import partial
from typing import Final, cast

import anyio.to_thread
import uvicorn
from fastapi import FastAPI

from shared.clock import Clock
from shared.errors import Misconfigured, Unavailable
from shared.viewersettings import ViewerSettings
from viewer.connection import Connection, Door, Loop
from viewer.limits import (
    BACKLOG,
    HANDSHAKE_SECONDS,
    KEEP_ALIVE_SECONDS,
    MOST_REQUESTS,
    THREADS,
)

END_SECONDS: Final = 5
TURN_SECONDS: Final = 1.0


class Server:
    """The HTTP server of one replica."""

    def __init__(self, app: FastAPI, settings: ViewerSettings, clock: Clock) -> None:
        """Takes the address. Raises Misconfigured if it cannot."""
        try:
            self._socket = socket.create_server(
                (settings.host, settings.port),
                family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
                backlog=BACKLOG,
            )
        except OSError as error:
            raise Misconfigured(
                f"viewer.port: {settings.host}:{settings.port} cannot be listened on "
                f"({error.strerror}); choose another port"
            ) from None
        self._clock = clock
        self._is_secure = settings.certificate is not None
        door = Door(settings.trusted_proxies)
        config = uvicorn.Config(
            app,
            http=cast("type[asyncio.Protocol]", partial(Connection, door=door)),
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=settings.trusted_proxies,
            limit_concurrency=MOST_REQUESTS,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=END_SECONDS,
            ssl_certfile=settings.certificate,
            ssl_keyfile=None if settings.certificate_key is None else str(settings.certificate_key),
        )
        try:
            config.load()
        except OSError as error:  # ssl.SSLError is one
            self._socket.close()
            raise Misconfigured(
                f"viewer.certificate: cannot be used ({error.strerror or error})"
            ) from None
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._turned_at = self._clock.monotonic()

    @property
    def address(self) -> str:
        """Where it listens."""
        host, port = self._socket.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self._is_secure else 'http'}://{shown}:{port}"

    def start(self) -> None:
        self._thread.start()

    def check(self) -> None:
        """Raises Unavailable if it has ended by itself."""
        if not self._thread.is_alive():
            raise Unavailable("the HTTP server has ended")

    def stop(self) -> None:
        """Let running answers end, for a while."""
        self._server.should_exit = True
        self._thread.join(END_SECONDS + 2)
        self._server.force_exit = True
        self._thread.join(2)
        self._socket.close()

    @property
    def stuck_seconds(self) -> float:
        """For how long the server's loop has not turned."""
        return self._clock.monotonic() - self._turned_at if self._thread.is_alive() else 0.0

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=partial(Loop, HANDSHAKE_SECONDS)) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        limiter = anyio.to_thread.current_default_thread_limiter()
        limiter.total_tokens = THREADS
        turning = asyncio.create_task(self._turn())
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            turning.cancel()

    async def _turn(self) -> None:
        while True:
            self._turned_at = self._clock.monotonic()
            await asyncio.sleep(TURN_SECONDS)
