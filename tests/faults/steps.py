"""Kills and freezes at a named step: between two things that a worker does one after the other.

No worker knows of them. Those of the archiver are struck at the doorway, where each step shows as
a request; those of ingest at the gate of its broker, held so that a step cannot end.
"""

import signal
from collections.abc import Callable
from typing import Final, Literal

from tests.faults.doorway import Trap
from tests.faults.scene import Scene

Moment = Literal["asked", "done"]
Way = Literal["there", "back"]
STEP_SECONDS: Final = 25.0
"""A clip is committed more often than that."""
CLOSED_FRAGMENTS_SECONDS: Final = 5.0
"""Closed fragments are published every 3 s."""
FROZEN_SECONDS: Final = 33.0


def _archiver(method: str, key: str, moment: Moment) -> Callable[[Scene], str]:
    def strike(scene: Scene) -> str:
        trap = Trap(method, key, moment, scene.kill_behind)
        scene.doorway.set(trap)
        came = scene.until(trap.sprung.is_set, STEP_SECONDS)
        scene.doorway.take_away(trap)
        return "struck" if came else "the step did not come"

    return strike


def _freeze_archiver(method: str, key: str, moment: Moment) -> Callable[[Scene], str]:
    """Longer than its seats last: somebody else goes on, and then it wakes up."""

    def strike(scene: Scene) -> str:
        victims: list[str] = []

        def freeze(port: int) -> None:
            name = scene.worker_behind(port)
            if name is not None:
                scene.line.workers[name].send_signal(signal.SIGSTOP)
                victims.append(name)

        trap = Trap(method, key, moment, freeze)
        scene.doorway.set(trap)
        scene.until(trap.sprung.is_set, STEP_SECONDS)
        scene.doorway.take_away(trap)
        for victim in victims:
            with scene.frozen(victim):
                scene.pause(FROZEN_SECONDS)
        return f"{victims[0]} for {FROZEN_SECONDS:.0f} s" if victims else "the step did not come"

    return strike


def _ingest(held: Way, end: Callable[[Scene, str], None]) -> Callable[[Scene], str]:
    """Fragments are closed on the disk, and nothing reaches the broker ("there"), or its answer
    does not come ("back")."""

    def strike(scene: Scene) -> str:
        scene.gates["ingest"].hold(held)
        scene.pause(CLOSED_FRAGMENTS_SECONDS)
        living = scene.living("ingest")
        if not living:
            scene.gates["ingest"].open()
            return "nobody was there"
        victim = scene.random.choice(living)
        end(scene, victim)
        return victim

    return strike


def _kill_and_open(scene: Scene, victim: str) -> None:
    scene.kill(victim)
    scene.gates["ingest"].shut()  # what is under way gets lost, as with the victim's machine
    scene.gates["ingest"].open()


def _freeze_and_open(scene: Scene, victim: str) -> None:
    with scene.frozen(victim):
        scene.gates["ingest"].open()
        scene.pause(FROZEN_SECONDS)


STEPS: Final[dict[str, Callable[[Scene], str]]] = {
    "kill ingest between fragment write and publish": _ingest("there", _kill_and_open),
    "kill ingest between publish and confirm": _ingest("back", _kill_and_open),
    "kill archiver between conversion and upload": _archiver("PUT", r"\.mp4", "asked"),
    "kill archiver between upload and its answer": _archiver("PUT", r"\.mp4", "done"),
    "kill archiver between upload and manifest": _archiver("PUT", r"clips/.*\.json", "asked"),
    "kill archiver between manifest and ack": _archiver("PUT", r"clips/.*\.json", "done"),
}
FREEZES: Final[dict[str, Callable[[Scene], str]]] = {
    "freeze ingest between fragment write and publish": _ingest("there", _freeze_and_open),
    "freeze ingest between publish and confirm": _ingest("back", _freeze_and_open),
    "freeze archiver between conversion and upload": _freeze_archiver("PUT", r"\.mp4", "asked"),
    "freeze archiver between upload and manifest": _freeze_archiver(
        "PUT", r"clips/.*\.json", "asked"
    ),
    "freeze archiver between manifest and ack": _freeze_archiver("PUT", r"clips/.*\.json", "done"),
}
