"""Children: they end when told to, when their worker dies, and leave nobody behind."""

import os
import select
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from shared.child import Child, find_program
from shared.errors import ChildFailed, MissingProgram
from tests.support import eventually


class Lines:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def bind(self, **_facts: Any) -> "Lines":
        return self

    def _keep(self, event: str, **facts: Any) -> None:
        self.lines.append({"event": event, **facts})

    debug = info = warning = error = _keep


def shell(script: str, *, stdin: bool = False, stdout: bool = False, log: Any = None) -> Child:
    return Child(["sh", "-c", script], name="test", log=log or Lines(), stdin=stdin, stdout=stdout)


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


def read_line(child: Child) -> bytes:
    data = b""

    def full() -> bool:
        nonlocal data
        try:
            data += os.read(child.stdout_fd, 100)
        except BlockingIOError:
            return False
        return data.endswith(b"\n")

    eventually(full, 10)
    return data.strip()


def test_a_missing_program_is_named_with_its_package() -> None:
    with pytest.raises(MissingProgram, match="apt-get install no-such-program"):
        find_program("no-such-program")


def test_a_folder_that_is_not_there_fails_the_start() -> None:
    with pytest.raises(ChildFailed, match="could not be started"):
        Child(["true"], name="test", log=Lines(), stdin=False, stdout=False, cwd=Path("/no/folder"))


def test_the_status_is_told_without_waiting_out_the_time() -> None:
    child = shell("exit 3")
    started = time.monotonic()
    assert child.wait(30) == 3
    assert time.monotonic() - started < 10
    assert child.poll() == 3


def test_waiting_for_a_child_that_goes_on_ends_at_the_time() -> None:
    with shell("sleep 60") as child:
        assert child.wait(0.05) is None


def test_pipes_never_block() -> None:
    with shell("sleep 60", stdin=True, stdout=True) as child:
        with pytest.raises(BlockingIOError):
            os.read(child.stdout_fd, 1)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(child.stdin_fd, bytes(65536))


def test_stop_lets_a_child_finish_its_input() -> None:
    child = shell("cat; echo done", stdin=True, stdout=True)
    os.write(child.stdin_fd, b"last\n")
    assert child.stop(10) == 0


def test_stop_kills_a_child_that_ignores_everything() -> None:
    child = shell("trap '' TERM; echo up; while :; do sleep 0.1; done", stdin=True, stdout=True)
    read_line(child)
    assert child.stop(0.05) == -9


def test_what_a_child_leaves_in_its_group_is_killed() -> None:
    child = shell("sleep 60 >/dev/null 2>&1 & echo $!; exit 0", stdout=True)
    grandchild = int(read_line(child))
    assert child.wait(10) == 0
    eventually(lambda: gone(grandchild), 10)


def test_last_words_are_complete_and_without_passwords() -> None:
    log = Lines()
    child = shell("echo rtsp://eve:hidden@host/ >&2; printf unfinished >&2; exit 1", log=log)
    child.wait(10)
    assert child.last_words.splitlines() == ["rtsp://***@host/", "unfinished"]
    assert {line["action"] for line in log.lines} == {"child.said"}


def test_a_selector_is_told_when_a_child_has_ended() -> None:
    child = shell("read line; exit 3", stdin=True)
    watch = select.poll()
    watch.register(child.exit_fd, select.POLLIN)
    assert watch.poll(0) == []
    child.close_stdin()
    assert [found for found, _ in watch.poll(10_000)] == [child.exit_fd]
    descriptor = child.exit_fd
    assert child.stop(0) == 3
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    child = shell("head -c 300000 /dev/zero | tr '\\0' x >&2")
    assert child.wait(10) == 0
    assert max(map(len, child.last_words.splitlines())) <= 1000


def test_a_child_sees_no_secret_of_its_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAMERA_1_PASSWORD", "hidden")
    child = shell("env >&2")
    child.wait(10)
    assert "PATH=" in child.last_words
    assert "hidden" not in child.last_words


def test_a_child_dies_with_a_worker_that_was_killed() -> None:
    worker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            textwrap.dedent("""
                import time
                from shared.child import Child
                from shared.log import get_logger
                log = get_logger()
                child = Child(["sleep", "60"], name="x", log=log, stdin=False, stdout=False)
                print(child.pid, flush=True)
                time.sleep(60)
            """),
        ],
        stdout=subprocess.PIPE,
    )
    assert worker.stdout is not None
    pid = int(worker.stdout.readline())
    # Until setpriv has asked for the signal, the child would outlive a killed worker.
    eventually(lambda: Path(f"/proc/{pid}/comm").read_text() == "sleep\n", 10)
    worker.kill()
    worker.wait(10)
    worker.stdout.close()
    eventually(lambda: gone(pid), 10)
