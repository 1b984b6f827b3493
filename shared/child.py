"""One ffmpeg child: a process of its own group that never outlives its worker.

It is started through `setpriv --pdeathsig KILL`: the kernel kills it when the thread that started
it ends, so start children from a thread that lives as long as they do. It sees a short list of
environment variables and no secret. Its standard error is drained by one thread for all children
into the log (flood-limited and redacted there); the last lines are kept for error messages.
Standard input and output are non-blocking pipes whose ends the owner reads and writes himself.

It ends by itself (`poll` or `wait` tells), some time after `close_stdin`, or by `stop`: close its
input, wait, terminate, wait, kill, reap. Whatever it left in its group is killed as it is reaped.
A child belongs to one thread; only `last_words` may be asked from another.
"""

import fcntl
import os
import select
import selectors
import shutil
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Final, Self

from shared.errors import ChildFailed, MissingProgram
from shared.log import Log, redact

PACKAGES: Final = {
    "ffmpeg": "ffmpeg",
    "ffprobe": "ffmpeg",
    "setpriv": "util-linux",
    "rabbitmq-server": "rabbitmq-server",
}
"""Debian package of each program that Cradle runs."""

TERMINATE_SECONDS: Final = 1.0
"""From terminate to kill."""

_KEPT_LINES: Final = 12
_LINE_BYTES: Final = 1000
_READ_BYTES: Final = 65536
_PATH: Final = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")


def find_program(name: str) -> str:
    """The full path of a program. Raises MissingProgram, which names the Debian package."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_PATH}")
    if found is None:
        package = PACKAGES.get(name, name)
        raise MissingProgram(f"{name} is not installed; run: apt-get install {package}")
    return found


class Child:
    """One running program."""

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        name: str,
        log: Log,
        stdin: bool,
        stdout: bool,
        cwd: Path | None = None,
    ) -> None:
        """Start it. `name` is for people. Raises MissingProgram, ChildFailed."""
        command = [
            *(find_program("setpriv"), "--pdeathsig", "KILL", "--"),
            find_program(arguments[0]),
            *arguments[1:],
        ]
        self.name = name
        try:
            self._process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                cwd=cwd,
                env={key: os.environ[key] for key in _ENVIRONMENT if key in os.environ},
                process_group=0,
            )
        except OSError as error:
            raise ChildFailed(f"{name} could not be started: {error.strerror}") from error
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                os.set_blocking(pipe.fileno(), False)
        self._exit_fd: int | None = None
        self._words = _Words(_pipe(self._process.stderr), log)
        _drain().add(self._words)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(0)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def stdin_fd(self) -> int:
        """Non-blocking. Writing raises BrokenPipeError once the child is gone."""
        return _pipe(self._process.stdin).fileno()

    @property
    def stdout_fd(self) -> int:
        """Non-blocking."""
        return _pipe(self._process.stdout).fileno()

    @property
    def exit_fd(self) -> int:
        """Readable once the child has ended, for a selector; closed by `stop`."""
        if self._exit_fd is None:
            self._exit_fd = os.pidfd_open(self.pid)
        return self._exit_fd

    def enlarge_stdin(self, size_bytes: int) -> bool:
        """Let the input pipe hold more; False if the system grants no more to this user."""
        try:
            fcntl.fcntl(self.stdin_fd, fcntl.F_SETPIPE_SZ, size_bytes)
        except OSError:
            return False
        return True

    def close_stdin(self) -> None:
        """Say that there is no more input; a second time does nothing."""
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()

    def poll(self) -> int | None:
        """The exit status (negative: the signal that killed it), or None while it runs."""
        if self._process.returncode is None:
            # Looked at before it is reaped: until then its id, and so its group's, is its own.
            ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                return None
            self._signal(signal.SIGKILL)
            self._process.wait()
        return self._process.returncode

    def wait(self, timeout_seconds: float) -> int | None:
        """The exit status as soon as there is one, None if it still runs after the time."""
        if self._process.returncode is None:
            process = os.pidfd_open(self.pid)
            try:
                watch = select.poll()
                watch.register(process, select.POLLIN)
                watch.poll(max(0.0, timeout_seconds) * 1000)
            finally:
                os.close(process)
        return self.poll()

    def terminate(self) -> None:
        """Ask the whole group to end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole group at once."""
        self._signal(signal.SIGKILL)

    def stop(self, patience_seconds: float) -> int:
        """End it in order and return its exit status. A second time does nothing.

        A child that reads its input gets `patience_seconds` to finish by itself after that input
        was closed; then it is terminated, and killed TERMINATE_SECONDS later. Blocks as long.
        """
        if self._process.stdin is not None:
            self.close_stdin()
            self.wait(patience_seconds)
        if self.poll() is None:
            self.terminate()
            if self.wait(TERMINATE_SECONDS) is None:
                self.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._exit_fd is not None:
            os.close(self._exit_fd)
            self._exit_fd = None
        status = self.poll()
        assert status is not None  # noqa: S101 - it was waited for
        return status

    @property
    def last_words(self) -> str:
        """The last lines of its standard error, redacted; complete once the child has ended."""
        if self._process.returncode is not None:
            self._words.ended.wait(TERMINATE_SECONDS)
        return self.words_so_far

    @property
    def words_so_far(self) -> str:
        """The same without waiting; what it said last may be missing."""
        return "\n".join(list(self._words.kept))

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ValueError("the child was started without this pipe")
    return stream


class _Words:
    """What one child says on its standard error."""

    def __init__(self, stream: IO[bytes], log: Log) -> None:
        os.set_blocking(stream.fileno(), False)
        self.stream = stream
        self.kept: deque[str] = deque(maxlen=_KEPT_LINES)
        self.ended = threading.Event()
        self._log = log
        self._unfinished = b""

    def take(self) -> bool:
        """Read what is there now; False at its end."""
        try:
            data = os.read(self.stream.fileno(), _READ_BYTES)
        except BlockingIOError:
            return True
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        if not data or len(self._unfinished) > _LINE_BYTES:
            lines.append(self._unfinished)
            self._unfinished = b""
        for line in lines:
            self._say(line[:_LINE_BYTES].decode(errors="replace").strip())
        return bool(data)

    def _say(self, line: str) -> None:
        if line:
            self.kept.append(redact(line))
            self._log.warning("ffmpeg said", action="child.said", line=line)

    def close(self) -> None:
        self.stream.close()
        self.ended.set()


class _Drain:
    """The one thread that reads the standard error of all children."""

    def __init__(self) -> None:
        # epoll takes new descriptors while its thread waits in it; only that thread removes them.
        self._selector = selectors.EpollSelector()
        threading.Thread(target=self._run, name="child-stderr", daemon=True).start()

    def add(self, words: _Words) -> None:
        self._selector.register(words.stream, selectors.EVENT_READ, words)

    def _run(self) -> None:
        while True:
            for key, _ in self._selector.select(timeout=60):
                words: _Words = key.data
                try:
                    more = words.take()
                except OSError:
                    more = False
                if not more:
                    self._selector.unregister(words.stream)
                    words.close()


_start = threading.Lock()
_drains: list[_Drain] = []


def _drain() -> _Drain:
    with _start:
        if not _drains:
            _drains.append(_Drain())
        return _drains[0]
