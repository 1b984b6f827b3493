"""A viewer that runs in this process on real parts, and somebody who asks it things."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from shared import config
from shared.clock import SystemClock
from shared.config import ArchiveSettings
from shared.health import Health
from shared.log import get_logger
from shared.users import Users
from shared.worker import WorkerContext
from tests.support import eventually
from viewer.worker import ViewerWorker

PASSWORD: Final = "a long enough password"
TOKEN: Final = "one-time-token-of-a-test"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Person:
    """A browser without a page: keeps its cookie and its token."""

    address: str
    cookie: str = ""
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def ask(self, method: str, path: str, content: Any = None, **headers: str) -> Answer:
        """One request; underscores in the names of headers stand for hyphens."""
        connection = HTTPConnection(urlsplit(self.address).netloc, timeout=20)
        sent = {**self.headers, **{name.replace("_", "-"): text for name, text in headers.items()}}
        if self.cookie:
            sent.setdefault("cookie", self.cookie)
        if self.token and method != "GET":
            sent.setdefault("x-csrf-token", self.token)
        body = None
        if content is not None:
            body = content if isinstance(content, bytes) else json.dumps(content).encode()
            sent.setdefault("content-type", "application/json")
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, _headers(response), response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Any:
        """What a GET answers, which must be well."""
        answer = self.ask("GET", path, **headers)
        assert answer.status == 200, answer
        return answer.json

    def log_in(self, name: str, password: str = PASSWORD) -> Answer:
        answer = self.ask("POST", "/api/session", {"name": name, "password": password})
        if answer.status == 200:
            self.take(answer)
        return answer

    def take(self, answer: Answer) -> None:
        """Keep the session that an answer brings."""
        self.cookie = answer.headers["set-cookie"].partition(";")[0]
        self.token = answer.json["csrf_token"]


def _headers(response: HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


@dataclass
class Viewing:
    """The viewer, and how to reach it."""

    address: str
    settings: config.Settings

    def anybody(self) -> Person:
        return Person(self.address)

    def person(self, name: str) -> Person:
        """Somebody who is logged in; `watcher` and `boss` can."""
        somebody = self.anybody()
        assert somebody.log_in(name).status == 200
        return somebody


@contextmanager
def viewing(
    folder: Path,
    broker_url: str,
    archive: ArchiveSettings,
    *,
    has_users: bool = True,
    name: str = "viewer-test",
    **sections: Any,
) -> Iterator[Viewing]:
    """A viewer for a while, with the users `watcher` (a viewer) and `boss` (an operator)."""
    content = {
        "broker": {"url": broker_url, "heartbeat_seconds": 4},
        "frames": {"url": (folder / "frames").as_uri()},
        "live": {"url": (folder / "live").as_uri()},
        "archive": {
            **archive.model_dump(),
            "secret_key": archive.secret_key.get_secret_value(),
        },
        "viewer": {"url": (folder / "viewer").as_uri(), "port": 0, "setup_token": TOKEN},
        "cameras": [{"id": "camera-1", "name": "영아반 1", "source": "test:320x240@10"}],
        **sections,
    }
    settings = config.from_mapping(content)
    if has_users:
        users = Users(settings.viewer)
        users.add("watcher", "viewer", PASSWORD)
        users.add("boss", "operator", PASSWORD)
    clock = SystemClock()
    health = Health(clock)
    context = WorkerContext(settings, name, clock, get_logger(), health)
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            ViewerWorker(context).run_once(stop)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:

        def address() -> str:
            assert not failures, failures
            return str(health.answer()[1]["states"].get("page", ""))

        yield Viewing(eventually(address, 20, "the page"), settings)
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive(), "the viewer did not end"
