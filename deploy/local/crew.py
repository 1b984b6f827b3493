"""The workers of one machine: started, watched, started again, and stopped in order.

Each worker is a process of its own with its log in `log/<name>.log`, its pid in `run/<name>.pid`
and a metrics port of its own. One that dies is started again after a pause that grows while it
keeps dying; one that hangs (`vigil.py`) is killed, and then it has died. One that says at its first
start that its configuration is wrong (exit code 2) is not started again: that would only repeat the
sentence, and a person is there to read it. The analyzer is tried again all the same: rooms without
notes are still recorded. Later the same words come of a port that is taken or a
bucket that refuses for a moment, and must not end the recording: they are logged, and it is started
again like any other. All programs are started from the thread that calls here: it must live as long
as they do.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from deploy.local.program import Program
from deploy.local.vigil import Vigil
from shared.backoff import LONGEST_SECONDS, pause_seconds
from shared.clock import Clock
from shared.errors import Misconfigured
from shared.log import Log
from shared.messages import Stage
from shared.worker import MISCONFIGURED_EXIT

ESSENTIAL = (Stage.INGEST, Stage.ENCODER, Stage.ARCHIVER)
"""Without these a house is of no use: refused at its first start, such a worker ends it."""
REFUSED_SECONDS = 300.0
"""The longest pause of a worker that is refused and not essential."""
HELD_SECONDS = 60.0
"""A life of this length was good: the next pause is the first again."""


class Worker:
    """One worker process, through all its lives."""

    def __init__(
        self, name: str, stage: Stage, program: Program, port: int, run: Path, vigil: Vigil
    ) -> None:
        self.name = name
        self.stage = stage
        self.port = port
        """Of its /metrics and /healthz."""
        self.program = program
        self.restarts = 0
        self.refusal: str | None = None
        """What it said when its configuration was refused, until a life has held."""
        self._pid_file = run / f"{name}.pid"
        self._vigil = vigil
        self._failures = 0
        self._started_at = 0.0
        self._again_at: float | None = None

    def start(self, now: float) -> None:
        self.program.start()
        self._vigil.begin()
        self._started_at = now
        self._again_at = None
        self._pid_file.write_text(f"{self.program.pid}\n", encoding="ascii")

    def watch(self, now: float, log: Log) -> None:
        """Kill it if it hangs; start it again if it has died and the pause is over.

        Raises Misconfigured if its very first start was refused and it is essential.
        """
        if self.program.is_running:
            if now - self._started_at > HELD_SECONDS:
                self.refusal = None
            reason = self._vigil.look(now)
            if reason is not None:
                log.error("worker hangs", action="crew.hung", name=self.name, reason=reason)
                self.program.send_kill()
            return
        if self._again_at is None:
            self._take_note_of_death(now, log)
        elif now >= self._again_at:
            self.program.kill()  # whatever it left in its group
            self.restarts += 1
            self.start(now)
            log.info("worker started again", action="crew.restarted", name=self.name)

    def _take_note_of_death(self, now: float, log: Log) -> None:
        code = self.program.exit_code
        held = now - self._started_at > HELD_SECONDS
        refused = self.program.last_words if code == MISCONFIGURED_EXIT else None
        is_essential = self.stage in ESSENTIAL
        if refused is not None and is_essential and not self.restarts and not held:
            raise Misconfigured(refused)
        is_told = refused is not None and refused == self.refusal
        self.refusal = None if is_essential else refused
        longest_seconds = LONGEST_SECONDS if self.refusal is None else REFUSED_SECONDS
        self._failures = 0 if held else self._failures + 1
        self._again_at = now + pause_seconds(self._failures, longest_seconds)
        if not is_told:
            why = {} if refused is None else {"reason": refused}
            log.warning("worker died", action="crew.died", name=self.name, exit_code=code, **why)

    def stop(self, timeout_seconds: float) -> bool:
        """End it in order; False if it had to be killed."""
        in_order = self.program.stop(timeout_seconds)
        self._pid_file.unlink(missing_ok=True)
        return in_order


class Crew:
    """All workers of one machine."""

    def __init__(
        self,
        data: Path,
        config: Path,
        counts: Mapping[Stage, int],
        ports: Mapping[str, int],
        environment: Mapping[str, str],
        vigil: Callable[[int], Vigil],
        clock: Clock,
        log: Log,
    ) -> None:
        """`environment` is what the workers get beside our own: the private broker and store.

        `vigil` makes the watch over the worker of a metrics port.
        """
        self._clock = clock
        self._log = log
        self.workers: list[Worker] = []
        for name, stage in worker_names(counts):
            command = [sys.executable, "-m", stage.value, "--config", str(config), "--name", name]
            program = Program(
                name,
                command,
                folder=data / "log",
                environment={
                    **os.environ,
                    **environment,
                    "CRADLE_METRICS__PORT": str(ports[name]),
                },
            )
            self.workers.append(
                Worker(name, stage, program, ports[name], data / "run", vigil(ports[name]))
            )

    def start(self) -> None:
        """Start them all. Raises ChildFailed."""
        for worker in self.workers:
            worker.start(self._clock.monotonic())

    def watch(self) -> None:
        """To be called about once a second. Raises Misconfigured."""
        for worker in self.workers:
            worker.watch(self._clock.monotonic(), self._log)

    def refusals(self) -> dict[str, str]:
        """What workers say that do not run because their configuration is wrong, by name."""
        return {each.name: each.refusal for each in self.workers if each.refusal is not None}

    def stop(self, stages: Iterable[Stage], timeout_seconds: float) -> None:
        """End all workers of some stages, at the same time."""
        chosen = [worker for worker in self.workers if worker.stage in set(stages)]
        for worker in chosen:
            worker.program.ask_to_stop()
        for worker in chosen:
            if not worker.stop(timeout_seconds):
                self._log.warning("worker killed", action="crew.killed", name=worker.name)


def worker_names(counts: Mapping[Stage, int]) -> list[tuple[str, Stage]]:
    """`encoder` for one worker of a stage, `encoder-1`, `encoder-2` for more."""
    return [
        (stage.value if count == 1 else f"{stage}-{number + 1}", stage)
        for stage, count in counts.items()
        for number in range(count)
    ]
