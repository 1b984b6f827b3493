"""The faults, by name. Each is struck, lasts, and is over when its function returns.

A function returns what it did in a few words, for the page; what it changed, it has put right.
"""

import json
import os
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from urllib.parse import quote

from tests.faults import surroundings
from tests.faults.doorway import Mood
from tests.faults.scene import STAGES, Scene
from tests.faults.steps import FREEZES, STEPS

DETECTION_SECONDS: Final = 27.0
"""A silent peer is noticed after at most so long, at a heartbeat of 10 s."""
READY_SECONDS: Final = 60.0
ALARM_SECONDS: Final = 12.0

Strike = Callable[[Scene], str]


def _one_of(stage: str, end: Callable[[Scene, str], None]) -> Strike:
    def strike(scene: Scene) -> str:
        living = scene.living(stage)
        if not living:
            return "nobody was there"
        victim = scene.random.choice(living)
        end(scene, victim)
        return victim

    return strike


def _kill_all(scene: Scene) -> str:
    victims = [name for stage in STAGES for name in scene.living(stage)]
    for victim in victims:
        scene.kill(victim)
    return f"{len(victims)} workers"


def _freeze(stage: str, shortest: float, longest: float) -> Strike:
    def strike(scene: Scene) -> str:
        living = scene.living(stage)
        if not living:
            return "nobody was there"
        victim, seconds = scene.random.choice(living), scene.random.uniform(shortest, longest)
        with scene.frozen(victim):
            scene.pause(seconds)
        return f"{victim} for {seconds:.0f} s"

    return strike


# -- the broker -------------------------------------------------------------------------------


def _kill_broker(scene: Scene) -> str:
    scene.broker.kill()
    seconds = scene.random.uniform(0, 6)
    scene.pause(seconds)
    scene.broker.start()
    scene.until(scene.broker.is_ready, READY_SECONDS)
    return f"away for {seconds:.0f} s and a start"


def _kill_broker_and_ingest(scene: Scene) -> str:
    scene.broker.kill()
    for victim in scene.living("ingest"):
        scene.kill(victim)
    scene.broker.start()
    scene.until(scene.broker.is_ready, READY_SECONDS)
    return "both at once"


def _lose_broker_data(scene: Scene) -> str:
    """Its disk is gone, and nobody remembers what was confirmed: only the frame store does."""
    scene.broker.kill()
    for victim in scene.living("archiver"):
        scene.kill(victim)
    data = scene.folder / "broker" / "data"
    shutil.rmtree(data)
    data.mkdir()
    scene.broker.start()
    scene.until(scene.broker.is_ready, READY_SECONDS)
    return "archivers killed, broker empty"


def _freeze_broker(scene: Scene) -> str:
    seconds = scene.random.uniform(3, 12)
    os.kill(scene.broker.pid, signal.SIGSTOP)
    scene.pause(seconds)
    os.kill(scene.broker.pid, signal.SIGCONT)
    return f"{seconds:.0f} s"


def _close_connections(scene: Scene) -> str:
    connections = json.loads(scene.management.call("GET", "/api/connections"))
    for each in connections:
        with suppress(AssertionError):  # closed by itself meanwhile
            scene.management.call("DELETE", f"/api/connections/{quote(each['name'])}")
    return f"{len(connections)} connections"


def _delete_archiver_queue(scene: Scene) -> str:
    camera = scene.random.choice(scene.cameras)
    with suppress(AssertionError):
        scene.management.call("DELETE", f"/api/queues/%2F/archiver.{camera}")
    return camera


def _alarm(command: str, raised: str, lowered: str) -> Strike:
    def strike(scene: Scene) -> str:
        scene.control(command, raised)
        scene.pause(ALARM_SECONDS)
        scene.control(command, lowered)
        return f"{ALARM_SECONDS:.0f} s"

    return strike


# -- networks ---------------------------------------------------------------------------------


def _cut(stage: str) -> Strike:
    """A cable is pulled: nothing passes, nobody is told."""

    def strike(scene: Scene) -> str:
        scene.gates[stage].hold()
        scene.pause(DETECTION_SECONDS)
        scene.gates[stage].open()
        return f"{DETECTION_SECONDS:.0f} s"

    return strike


def _break(stage: str) -> Strike:
    """The client's end is closed, and the broker does not notice."""

    def strike(scene: Scene) -> str:
        scene.gates[stage].cut()
        return "without a word to the broker"

    return strike


# -- the object store -------------------------------------------------------------------------


def _kill_store(scene: Scene) -> str:
    scene.store.kill()
    seconds = scene.random.uniform(1, 15)
    scene.pause(seconds)
    scene.store.start()
    scene.until(scene.store.is_ready, READY_SECONDS)
    return f"away for {seconds:.0f} s and a start"


def _doorway(mood: Mood, seconds: float) -> Strike:
    def strike(scene: Scene) -> str:
        scene.doorway.mood = mood
        scene.pause(seconds)
        scene.doorway.mood = "well"
        return f"{seconds:.0f} s"

    return strike


KILLS: Final[dict[str, Strike]] = {f"kill {stage}": _one_of(stage, Scene.kill) for stage in STAGES}
OTHERS: Final[dict[str, Strike]] = {
    **STEPS,
    **FREEZES,
    **{
        f"{stage} told to stop": _one_of(stage, Scene.stop)
        for stage in ("ingest", "encoder", "archiver")
    },
    "kill all workers": _kill_all,
    **{f"freeze {stage} briefly": _freeze(stage, 1, 8) for stage in STAGES},
    "freeze ingest": _freeze("ingest", 30, 40),
    "freeze encoder": _freeze("encoder", 30, 40),
    "freeze archiver": _freeze("archiver", 30, 40),
    "kill broker": _kill_broker,
    "kill broker and ingest": _kill_broker_and_ingest,
    "broker loses its data": _lose_broker_data,
    "freeze broker": _freeze_broker,
    "broker closes all connections": _close_connections,
    "memory alarm": _alarm("set_vm_memory_high_watermark", "0.000001", "0.4"),
    "disk alarm": _alarm("set_disk_free_limit", "1000000GB", "50MB"),
    "archiver queue deleted": _delete_archiver_queue,
    **{f"network of {stage} cut": _cut(stage) for stage in ("ingest", "encoder", "archiver")},
    "connections of ingest broken": _break("ingest"),
    "connections of archiver broken": _break("archiver"),
    "kill store": _kill_store,
    "store answers 500": _doorway("errors", 15),
    "store slow": _doorway("slow", 20),
    "store's answers lost": _doorway("losing", 12),
    "store's answers late": _doorway("late", 70),
    "store silent": _doorway("held", 20),
    "camera connections closed": surroundings.drop_cameras,
    "camera silent": surroundings.stall_camera,
    "camera changes resolution": surroundings.change_resolution,
    "cameras killed": surroundings.kill_cameras,
    "frame store full": surroundings.fill_disk,
    "frame store read-only": surroundings.make_read_only,
    "fragments deleted": surroundings.delete_fragments,
    "clock stepped": surroundings.step_clock,
    "poison messages": surroundings.poison,
}
LONELY_KILLS: Final = {*KILLS, *(name for name in STEPS if name.startswith("kill archiver"))}
"""Of one worker, while another of its stage lives and nothing else is wrong."""
ALL: Final = {**KILLS, **OTHERS}
