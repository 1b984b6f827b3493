"""A read that blocks is ended from outside, without a read time-out of PyAV's."""

import socket
import threading
from collections.abc import Iterator

import av
import pytest

from ingest.interrupt import Interrupt
from shared.clock import SystemClock
from shared.log import get_logger
from tests.videos import Videos


@pytest.fixture
def silent_server(videos: Videos) -> Iterator[str]:
    """Serves half a transport stream over HTTP, then says nothing more and does not close."""
    data = videos(".ts", seconds=2).read_bytes()
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(4096)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + data)
        held.append(connection)

    held: list[socket.socket] = []
    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    listener.close()
    for connection in held:
        connection.close()


def test_a_read_that_blocks_is_ended_when_it_is_overdue(silent_server: str) -> None:
    clock = SystemClock()
    before = clock.monotonic()
    with av.open(silent_server, "r", timeout=(10.0, None)) as container:
        interrupt = Interrupt(container, before, clock, 1.0, get_logger())
        assert interrupt.works
        packets = container.demux(video=0)
        began = clock.monotonic()
        with pytest.raises(av.error.FFmpegError) as raised:
            while True:
                interrupt.begin()
                next(packets)
                interrupt.end()
        assert interrupt.fired, raised
        assert clock.monotonic() - began >= 1.0


def test_reads_that_return_in_time_are_left_alone(videos: Videos) -> None:
    clock = SystemClock()
    before = clock.monotonic()
    with av.open(str(videos(".ts", seconds=2)), "r", timeout=(10.0, None)) as container:
        interrupt = Interrupt(container, before, clock, 0.0, get_logger())
        count = 0
        for _ in container.demux(video=0):
            interrupt.look()  # between two reads: nothing is overdue
            count += 1
        assert count > 50
        assert not interrupt.fired
