"""Nobody takes the page from all others: connections are counted, and each request has its time."""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from shared.config import ArchiveSettings
from tests.starving import starving
from tests.support import eventually
from tests.viewer_house import Person, Viewing, viewing
from viewer.connection import Door, visitor_of
from viewer.limits import REQUEST_SECONDS

SECONDS: Final = 1.0
PATIENCE: Final = 20.0
"""Seconds, on a machine that is busy with other things."""
FEW: Final = 4


@pytest.fixture
def viewer(tmp_path: Path, broker_url: str, archive_settings: ArchiveSettings) -> Iterator[Viewing]:
    """The real server."""
    with viewing(tmp_path, broker_url, archive_settings) as made:
        yield made


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request has less time than a test."""
    monkeypatch.setattr("viewer.connection.REQUEST_SECONDS", SECONDS)


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for a few."""
    monkeypatch.setattr("viewer.connection.MOST_CONNECTIONS_OF_ONE", FEW)
    monkeypatch.setattr("viewer.connection.MOST_CONNECTIONS", 2 * FEW)


@contextmanager
def connected(viewer: Viewing, source: str = "127.0.0.1") -> Iterator[socket.socket]:
    """A connection that says nothing yet."""
    where = urlsplit(viewer.address)
    with socket.create_connection(
        (where.hostname or "", where.port or 0), PATIENCE, source_address=(source, 0)
    ) as made:
        yield made


def has_ended(connection: socket.socket, within_seconds: float) -> bool:
    """Whether the server ends it in time; what it answers is read and thrown away."""
    connection.settimeout(within_seconds)
    try:
        while connection.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET /login HT",
        b"GET /login HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"POST /api/session HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    ],
)
def test_a_request_that_never_ends_is_ended_however_it_trickles(
    viewer: Viewing, beginning: bytes
) -> None:
    began = time.monotonic()
    with connected(viewer) as slow:
        slow.sendall(beginning)

        def is_refused() -> bool:
            try:
                if beginning:
                    slow.sendall(b"a")
            except OSError:
                return True
            return has_ended(slow, 0.1)

        with starving() as machine:
            eventually(is_refused, PATIENCE, "the connection is ended")
            assert time.monotonic() - began >= SECONDS
            assert time.monotonic() - began - machine.seconds() < 4 * SECONDS
        assert viewer.anybody().ask("GET", "/login").status == 200


@pytest.mark.usefixtures("hurried")
def test_a_second_request_on_a_connection_has_its_time_too(viewer: Viewing) -> None:
    with connected(viewer) as slow:
        slow.sendall(b"GET /api/entrance HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(4096).startswith(b"HTTP/1.1 200")
        assert not has_ended(slow, 2 * SECONDS), "an idle one may stay for a while"
        slow.sendall(b"GET /api/entrance HTTP/1.1\r\nX: ")
        with starving() as machine:
            began = time.monotonic()
            assert has_ended(slow, PATIENCE)
            assert time.monotonic() - began - machine.seconds() < 3 * SECONDS


@pytest.mark.usefixtures("crowded")
def test_one_address_takes_no_more_than_its_share_and_has_it_back(viewer: Viewing) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(connected(viewer)) for _ in range(FEW)]
        for each in held:
            each.sendall(b"GET /api/entrance HTTP/1.1\r\nHost: x\r\n\r\n")
            assert each.recv(4096).startswith(b"HTTP/1.1 200")
        with connected(viewer) as beyond:
            assert has_ended(beyond, REQUEST_SECONDS / 2), "and not because it is too slow"
        with connected(viewer, "127.0.0.2") as other:
            assert not has_ended(other, SECONDS / 4), "others are not kept out"
    eventually(lambda: answers(viewer), 10, "there is room again")


@pytest.mark.usefixtures("crowded")
def test_all_together_take_no_more_than_there_is(viewer: Viewing) -> None:
    with ExitStack() as stack:
        for number in range(2 * FEW):
            source = f"127.0.0.{2 + number // FEW}"
            made = stack.enter_context(connected(viewer, source))
            made.sendall(b"GET /api/entrance HTTP/1.1\r\nHost: x\r\n\r\n")
            assert made.recv(4096).startswith(b"HTTP/1.1 200")
        with connected(viewer, "127.0.0.9") as beyond:
            assert has_ended(beyond, REQUEST_SECONDS / 2), "and not because it is too slow"
    eventually(lambda: answers(viewer), 10, "there is room again")


def answers(viewer: Viewing) -> bool:
    """Whether somebody who comes now is let in."""
    try:
        return viewer.anybody().ask("GET", "/login").status == 200
    except OSError:
        return False


def test_one_session_listens_to_so_many_streams_of_events_and_no_more(
    tmp_path: Path,
    broker_url: str,
    archive_settings: ArchiveSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("viewer.hub.MOST_PAGES_OF_ONE", 2)
    with viewing(tmp_path, broker_url, archive_settings) as viewer, ExitStack() as stack:
        greedy, other = viewer.person("watcher"), viewer.person("boss")

        def first_line(who: Person) -> bytes:
            connection = HTTPConnection(urlsplit(viewer.address).netloc, timeout=PATIENCE)
            stack.callback(connection.close)
            connection.request("GET", "/api/stream", headers={"cookie": who.cookie})
            return connection.getresponse().readline()

        assert [first_line(greedy) for _ in range(3)] == [b"event: clock\n"] * 2 + [b""]
        assert first_line(other) == b"event: clock\n"


def test_a_proxy_that_is_trusted_speaks_for_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("viewer.connection.MOST_CONNECTIONS_OF_ONE", 1)
    door = Door(["10.0.0.0/8", "a.name"])
    assert [door.enter("10.1.2.3") for _ in range(3)] == [True] * 3
    assert [door.enter("192.0.2.1") for _ in range(2)] == [True, False]
    door.leave("192.0.2.1")
    assert door.enter("192.0.2.1")


def test_a_visitor_with_a_whole_network_is_one_visitor() -> None:
    assert visitor_of("2001:db8::1") == visitor_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert visitor_of("2001:db8:0:1::1") != visitor_of("2001:db8::1")
    assert visitor_of("::ffff:192.0.2.1") == visitor_of("192.0.2.1")
    assert visitor_of("") == ""
