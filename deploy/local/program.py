"""A server that runs beside us: its own process group, its output in a file, gone when we are.

It is started through `setpriv --pdeathsig KILL`: the kernel kills it when the *thread* that started
it ends, however that happens. So start programs from the main thread, or from one that lives as
long. `stop` asks with SIGTERM, waits, then kills the whole group. Secrets reach a program through
its environment or a private file, never through its command line.
"""

import os
import select
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from shared.child import find_program
from shared.errors import ChildFailed

_LAST_BYTES = 2000


class Program:
    """One server process and what it started."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
    ) -> None:
        """`folder` is where it runs and where `<name>.log` takes its output. Not started yet."""
        self.name = name
        self.log_file = folder / f"{name}.log"
        self._command = list(command)
        self._folder = folder
        self._environment = {"PATH": os.environ.get("PATH", os.defpath), **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._is_asked = False

    @property
    def pid(self) -> int:
        """Process id, which is also its group's; 0 if it never started."""
        return self._process.pid if self._process else 0

    @property
    def is_running(self) -> bool:
        return self._process is not None and not self._ended(0)

    @property
    def exit_code(self) -> int | None:
        """Its exit status once it has ended by itself (negative: the signal), None before."""
        if self._process is None:
            return None
        # Looked at, not reaped: until `kill` its id, and so its group's, stays its own.
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is None:
            return None
        return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def start(self) -> None:
        """Start it. Raises MissingProgram, ChildFailed."""
        if self.is_running:
            return
        self.kill()
        self._is_asked = False
        setpriv = [find_program("setpriv"), "--pdeathsig", "KILL", "--"]
        try:
            with self.log_file.open("ab") as log:
                self._process = subprocess.Popen(
                    [*setpriv, *self._command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self._folder,
                    env=self._environment,
                    start_new_session=True,
                )
        except OSError as error:
            raise ChildFailed(f"{self.name} could not be started: {error.strerror}") from error

    def require_running(self) -> None:
        """Raise ChildFailed with its last words if it has ended."""
        if not self.is_running:
            raise ChildFailed(f"{self.name} ended: {self.last_words}; see {self.log_file}")

    def stop(self, timeout_seconds: float) -> bool:
        """End it; True if it did so by itself in time, or had ended before."""
        if self._process is None:
            return True
        self.ask_to_stop()
        in_order = self._ended(timeout_seconds)
        self.kill()
        return in_order

    def ask_to_stop(self) -> None:
        """Send it SIGTERM, so that several can end at the same time; `stop` waits for it.

        Only once: a second signal would disturb the orderly end that the first one began.
        """
        if self._process is not None and not self._is_asked:
            self._is_asked = True
            os.kill(self.pid, signal.SIGTERM)  # Popen's own would reap one that has just ended

    def kill(self) -> None:
        """End it, and all of its group, at once."""
        if self._process is None:
            return
        self.send_kill()
        self._process.wait()
        self._process = None

    def send_kill(self) -> None:
        """Have it killed with all of its group, and wait for nothing: the kernel may hold it."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def _ended(self, timeout_seconds: float) -> bool:
        """Whether it ends in this time; it is not reaped."""
        descriptor = os.pidfd_open(self.pid)
        try:
            watch = select.poll()
            watch.register(descriptor, select.POLLIN)
            return bool(watch.poll(timeout_seconds * 1000))
        finally:
            os.close(descriptor)

    @property
    def last_words(self) -> str:
        """The last line of its output."""
        try:
            with self.log_file.open("rb") as log:
                log.seek(max(0, self.log_file.stat().st_size - _LAST_BYTES))
                lines = [line.strip() for line in log.read().decode(errors="replace").split("\n")]
        except OSError:
            return "it said nothing"
        return next((line for line in reversed(lines) if line), "it said nothing")
