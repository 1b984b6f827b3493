"""What happens now, told to every open page (server-sent events).

Events come from the feed's thread; each page has a short queue of its own on the server's loop. A
page that does not take them in time loses its connection: the browser opens it again, and asks for
what it missed.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any, Final

from prometheus_client import Counter, Gauge

from viewer.limits import MOST_PAGES, MOST_PAGES_OF_ONE

QUEUE_LENGTH: Final = 200
PULSE_SECONDS: Final = 15.0
"""Something is said at least this often, so that a broken connection is noticed."""

PAGES = Gauge("cradle_viewer_open_pages", "Pages that listen to events.")
DROPPED = Counter("cradle_viewer_dropped_pages_total", "Pages that did not take their events.")

Told = tuple[str, dict[str, Any]]
"""Kind and facts."""


class Hub:
    """All pages that listen."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pages: dict[asyncio.Queue[Told | None], asyncio.AbstractEventLoop] = {}
        self._whose: dict[asyncio.Queue[Told | None], str] = {}
        self._is_closed = False

    def tell(self, kind: str, facts: dict[str, Any]) -> None:
        """From any thread."""
        with self._lock:
            pages = list(self._pages.items())
        for queue, loop in pages:
            loop.call_soon_threadsafe(self._put, queue, (kind, facts))

    def _put(self, queue: "asyncio.Queue[Told | None]", told: Told | None) -> None:
        try:
            queue.put_nowait(told)
        except asyncio.QueueFull:
            if queue in self._pages:
                DROPPED.inc()
                self._forget(queue)
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)

    def close(self) -> None:
        """End all pages' connections; they come back to whoever serves next."""
        with self._lock:
            self._is_closed = True
            pages = list(self._pages.items())
        for queue, loop in pages:
            loop.call_soon_threadsafe(self._put, queue, None)

    async def listen(self, whose: str) -> AsyncGenerator[Told | None, None]:
        """What is told from now on; None from time to time when nothing is. Ends when dropped.

        `whose` is the session that listens.
        """
        queue: asyncio.Queue[Told | None] = asyncio.Queue(QUEUE_LENGTH)
        with self._lock:
            own = sum(each == whose for each in self._whose.values())
            if self._is_closed or len(self._pages) >= MOST_PAGES or own >= MOST_PAGES_OF_ONE:
                return
            self._pages[queue] = asyncio.get_running_loop()
            self._whose[queue] = whose
        PAGES.set(len(self._pages))
        try:
            yield None
            while True:
                try:
                    told = await asyncio.wait_for(queue.get(), PULSE_SECONDS)
                except TimeoutError:
                    yield None
                    continue
                if told is None:
                    return
                yield told
        finally:
            self._forget(queue)

    def _forget(self, queue: "asyncio.Queue[Told | None]") -> None:
        with self._lock:
            self._pages.pop(queue, None)
            self._whose.pop(queue, None)
        PAGES.set(len(self._pages))
