"""Kills at a named step: between two things that a worker does one after the other.

No worker knows of them. Those of the archiver are struck at the doorway, where each step shows as
a request; those of ingest at the gate of its broker, held so that a step cannot end.
"""

from collections.abc import Callable
from typing import Final, Literal

from tests.faults.doorway import Trap
from tests.faults.scene import Scene

STEP_SECONDS: Final = 25.0
"""A clip is committed more often than that."""
CLOSED_FRAGMENTS_SECONDS: Final = 5.0
"""Closed fragments are published every 3 s."""


def _archiver(method: str, key: str, moment: Literal["asked", "done"]) -> Callable[[Scene], str]:
    def strike(scene: Scene) -> str:
        trap = Trap(method, key, moment, scene.kill_behind)
        scene.doorway.set(trap)
        came = scene.until(trap.sprung.is_set, STEP_SECONDS)
        scene.doorway.take_away(trap)
        return "struck" if came else "the step did not come"

    return strike


def _between_write_and_publish(scene: Scene) -> str:
    """Fragments are closed on the disk while nothing reaches the broker."""
    scene.gates["ingest"].hold("there")
    scene.pause(CLOSED_FRAGMENTS_SECONDS)
    return _kill_and_open(scene)


def _between_publish_and_confirm(scene: Scene) -> str:
    """The broker has the fragments, and its answer does not come."""
    scene.gates["ingest"].hold("back")
    scene.pause(CLOSED_FRAGMENTS_SECONDS)
    return _kill_and_open(scene)


def _kill_and_open(scene: Scene) -> str:
    victim = scene.random.choice(scene.living("ingest") or [""])
    if victim:
        scene.kill(victim)
    scene.gates["ingest"].shut()  # what is under way gets lost, as with the victim's machine
    scene.gates["ingest"].open()
    return victim


STEPS: Final[dict[str, Callable[[Scene], str]]] = {
    "kill ingest between fragment write and publish": _between_write_and_publish,
    "kill ingest between publish and confirm": _between_publish_and_confirm,
    "kill archiver between conversion and upload": _archiver("PUT", r"\.mp4", "asked"),
    "kill archiver between upload and its answer": _archiver("PUT", r"\.mp4", "done"),
    "kill archiver between upload and manifest": _archiver("PUT", r"clips/.*\.json", "asked"),
    "kill archiver between manifest and ack": _archiver("PUT", r"clips/.*\.json", "done"),
}
