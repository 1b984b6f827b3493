"""The frame around a stage's work: start, retry, health, stop.

`main` reads the configuration (a fault there is one sentence and exit code 2), serves /metrics and
/healthz, and calls the stage's `run_once` again and again: it works until told to stop, and raises
when what it stands on breaks. Then everything is built anew after a jittered pause that grows to
half a minute and starts over once the work has held. SIGTERM, SIGINT and SIGHUP
ask for an orderly stop.
"""

import argparse
import gc
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import Counter

from shared import config, log, tracing
from shared.backoff import LONGEST_BROKER_SECONDS, LONGEST_SECONDS, pause_seconds
from shared.clock import Clock, SystemClock
from shared.errors import (
    BrokerUnavailable,
    CradleError,
    LinkLost,
    Misconfigured,
    NoAnswer,
    NotConfirmed,
    QueueAway,
    StoreUnavailable,
    Unavailable,
)
from shared.health import Health
from shared.memory import give_large_blocks_back
from shared.messages import Stage

HELD_SECONDS = 60.0
"""A run of this length was good: the next pause is the first again."""
PROBE_SECONDS = 600.0
"""What the first look at the object store may take: two requests to one that takes all its time
(60 s, three tries) and gives no answer in the end."""
MISCONFIGURED_EXIT = 2
GARBAGE_OBJECTS = 20_000

UNEXPECTED: Final = "unexpected"
"""The reason of what is a fault of ours; its log line says which."""
RESTARTS = Counter("cradle_worker_restarts_total", "Times the work was built anew.", ["reason"])
for _reason in (
    *(LinkLost, BrokerUnavailable, NoAnswer, QueueAway, NotConfirmed),
    *(StoreUnavailable, Unavailable, Misconfigured),
):
    RESTARTS.labels(_reason.__name__)  # a series that is new has no increase
RESTARTS.labels(UNEXPECTED)


class StageWorker(Protocol):
    """The work of one stage."""

    def run_once(self, stop: threading.Event) -> None:
        """Build everything, work until `stop` is set, take everything down in order.

        Raises CradleError when it cannot go on and everything must be built anew.
        """
        ...


@dataclass(frozen=True)
class WorkerContext:
    """What every worker is given."""

    settings: config.Settings
    name: str
    clock: Clock
    log: log.Log
    health: Health
    tracer: tracing.Tracer | None = None
    """None where tracing is not configured."""

    def thawed(self) -> bool:
        """To be called each turn of the main loop: True if more than a heartbeat went by since.

        Then the process was frozen and its seats may be another's: give them up first.
        """
        return self.health.beat() > self.settings.broker.heartbeat_seconds


def main(stage: Stage, build: Callable[[WorkerContext], StageWorker]) -> None:
    """Run a worker of `stage` until it is told to stop; does not return."""
    arguments = _parse(stage)
    tracer: tracing.Tracer | None = None
    try:
        settings = config.load(arguments.config)
        log.configure(settings.log.level, settings.log.format)
        clock = SystemClock()
        health = Health(clock)
        logger = log.get_logger(stage=stage.value, worker=arguments.name)
        tracer = tracing.start(settings.tracing, stage, arguments.name, clock, logger)
        context = WorkerContext(settings, arguments.name, clock, logger, health, tracer)
        health.serve(settings.metrics.host, settings.metrics.port_of(stage))
        give_large_blocks_back()
        _collect_garbage_seldom()
        run(build(context), context, stop_on_signals())
    except Misconfigured as error:
        print(f"{stage}: {error}", file=sys.stderr)
        raise SystemExit(MISCONFIGURED_EXIT) from None
    finally:
        if tracer is not None:
            tracer.close()
    raise SystemExit(0)


def _collect_garbage_seldom() -> None:
    """Leave what was imported out of it, and look for cycles less often than each 700 objects.

    Packets and messages come and go by the thousand without making any; 3 % of the workers' time
    went into looking for them.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, 10, 10)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM, SIGINT and, unless it is ignored (`nohup`), SIGHUP set.

    A thread sets it, for a handler runs on the main thread, which may hold the event's own lock.
    """
    stop = threading.Event()
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
    is_left_alone = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    for number in (signal.SIGTERM, signal.SIGINT, *(() if is_left_alone else (signal.SIGHUP,))):
        signal.signal(number, lambda *_: None)

    def wait() -> None:
        while receiver.recv(64):  # for good: a second signal must find somebody to tell
            stop.set()

    threading.Thread(target=wait, name="signals", daemon=True).start()
    return stop


def run(worker: StageWorker, context: WorkerContext, stop: threading.Event) -> None:
    """The retry loop. Raises Misconfigured if the very first run could not even begin."""
    context.log.info("worker started", action="worker.started", pid=os.getpid())
    failures = 0
    while not stop.is_set():
        began = context.clock.monotonic()
        longest_seconds = LONGEST_SECONDS
        try:
            worker.run_once(stop)
        except Misconfigured as error:
            if not context.health.turns:
                raise
            _report(context, error)
        except CradleError as error:
            _report(context, error)
            if isinstance(error, BrokerUnavailable):
                longest_seconds = LONGEST_BROKER_SECONDS
        except Exception as error:  # a bug in one run must not end the watch over the rooms
            _report(context, error)
        if stop.is_set():
            break
        held = context.clock.monotonic() - began > HELD_SECONDS
        failures = 0 if held else failures + 1
        pause = pause_seconds(failures, longest_seconds)
        context.health.expect(pause)
        stop.wait(pause)
    context.log.info("worker stopped", action="worker.stopped")


def _report(context: WorkerContext, error: Exception) -> None:
    kind = type(error).__name__
    RESTARTS.labels(kind if isinstance(error, CradleError) else UNEXPECTED).inc()
    if isinstance(error, CradleError):
        context.log.warning("work interrupted", action="worker.interrupted", reason=str(error))
    else:
        context.log.error(
            "work broke off", action="worker.broke", reason=f"{kind}: {error}", exc_info=error
        )


def _parse(stage: Stage) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"python -m {stage}", description=f"Cradle's {stage}.")
    parser.add_argument("--config", type=Path, required=True, help="cradle.yaml")
    parser.add_argument(
        "--name",
        default=f"{stage}-{socket.gethostname()}-{os.getpid()}",
        help="name of this worker in logs, events and the broker's pages",
    )
    return parser.parse_args()
