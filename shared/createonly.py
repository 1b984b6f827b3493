"""The HTTP side of create-only: `If-None-Match: *` on every request that creates an object.

And of a live playlist, which is replaced: `If-Match`, so that only its last writer replaces it.

minio's own arguments cannot send them (as `metadata` they become user metadata, and the object is
overwritten with 200), but it takes any `urllib3.PoolManager` as `http_client`. Given here are also
the time-outs and the few retries; minio's own are 300 s and five. A body is sent block by block:
what is sent in one piece must be through within CONNECT_SECONDS, however large it is. A request
that is sent again may be refused with 412 because the first one, whose answer was lost, did its
work: objectstore.py looks and decides.
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

CONNECT_SECONDS: Final = 3.0
READ_SECONDS: Final = 60.0
RETRIES: Final = 2
KEPT_CONNECTIONS: Final = 16
"""Of all threads together; beyond, a connection is closed after its request and urllib3 warns."""


class ImpatientPool(urllib3.PoolManager):
    """Gives up in time."""

    def __init__(self, read_seconds: float = READ_SECONDS, retries: int = RETRIES) -> None:
        super().__init__(
            maxsize=KEPT_CONNECTIONS,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
            retries=urllib3.Retry(
                retries,
                backoff_factor=0.2,
                status_forcelist=[500, 502, 503, 504],
                raise_on_status=False,
                respect_retry_after_header=False,  # it may ask for hours
            ),
        )

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send a request of minio's, whose body is bytes."""
        body = kw.get("body")
        if isinstance(body, io.BytesIO):  # redirected: all of it is sent again
            body = body.getvalue()
        if body and isinstance(body, bytes):  # of an empty one urllib3 itself tells the length
            kw["body"] = io.BytesIO(body)
        return super().urlopen(method, url, redirect, **kw)


class CreateOnlyPool(ImpatientPool):
    """Makes the PUT of an object and the completion of a multipart upload conditional.

    Not the PUT of a part or of the bucket itself: neither creates an object.
    """

    def __init__(
        self, bucket: str, read_seconds: float = READ_SECONDS, retries: int = RETRIES
    ) -> None:
        super().__init__(read_seconds, retries)
        self._bucket = bucket
        self._undecided: set[str] = set()

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send a request of minio's."""
        parts = urlsplit(url)
        upload = parse_qs(parts.query).get("uploadId", [""])[0]
        if method == "DELETE" and upload in self._undecided:
            # minio aborts when its completion failed. One that was not answered may still be at
            # work, and an abort beside it could delete the parts of the object it makes.
            self._undecided.discard(upload)
            raise HTTPError("a completion was not answered; its upload is left as it is")
        completes = method == "POST" and upload != ""
        creates = method == "PUT" and not parts.query and parts.path.strip("/") != self._bucket
        if completes or creates:
            kw["headers"]["If-None-Match"] = "*"
        if not completes:
            return super().urlopen(method, url, redirect, **kw)
        self._undecided.add(upload)
        response = super().urlopen(method, url, redirect, **kw)
        if response.status < 500:
            self._undecided.discard(upload)
        return response


class ConditionalPool(ImpatientPool):
    """Makes the PUTs of a block conditional, those of the block's own thread alone."""

    def __init__(self, read_seconds: float = READ_SECONDS, retries: int = RETRIES) -> None:
        super().__init__(read_seconds, retries)
        self._own = threading.local()

    @contextmanager
    def on_condition(self, version: str | None) -> Iterator[None]:
        """What is put replaces this version (an ETag) only; None: it replaces nothing."""
        condition = {"If-None-Match": "*"} if version is None else {"If-Match": f'"{version}"'}
        self._own.condition = condition
        try:
            yield
        finally:
            del self._own.condition

    def urlopen(  # type: ignore[override]
        self, method: str, url: str, redirect: bool = True, **kw: Any
    ) -> urllib3.BaseHTTPResponse:
        """Send a request of minio's."""
        if method == "PUT":
            kw["headers"].update(getattr(self._own, "condition", {}))
        return super().urlopen(method, url, redirect, **kw)
