"""The faults, by name. Each is struck, lasts, and is over when its function returns.

A function returns what it did in a few words, for the page; what it changed, it has put right.
"""

import json
import os
import secrets
import shutil
import signal
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import quote

from shared.framestore import FrameReader
from tests.faults.doorway import Mood
from tests.faults.plan import OTHER_FOOTAGE
from tests.faults.scene import STAGES, Scene
from tests.faults.steps import STEPS
from tests.rtsp import RtspServer

DETECTION_SECONDS: Final = 27.0
"""A silent peer is noticed after at most so long, at a heartbeat of 10 s."""
READY_SECONDS: Final = 60.0
ALARM_SECONDS: Final = 12.0
FULL_SECONDS: Final = 12.0
STEPPED_SECONDS: Final = 12.0

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


# -- cameras ----------------------------------------------------------------------------------


def _drop_cameras(scene: Scene) -> str:
    scene.rtsp.drop_connections()
    return "all connections closed"


def _stall_camera(scene: Scene) -> str:
    seconds = scene.random.uniform(12, 20)
    scene.rtsp.stall("rtsp-2")
    scene.pause(seconds)
    scene.rtsp.resume("rtsp-2")
    return f"rtsp-2 silent for {seconds:.0f} s"


def _change_resolution(scene: Scene) -> str:
    scene.rtsp.switch("rtsp-1", scene.files[OTHER_FOOTAGE])
    scene.pause(10)
    scene.rtsp.switch("rtsp-1", scene.files["rtsp-1"])
    return "rtsp-1, and back"


def _kill_cameras(scene: Scene) -> str:
    """The cameras lose power, and come back."""
    scene.rtsp.kill()
    seconds = scene.random.uniform(3, 8)
    scene.pause(seconds)
    scene.rtsp = RtspServer(scene.rtsp.port)
    for name in ("rtsp-1", "rtsp-2"):
        scene.rtsp.mount(name, scene.files[name])
    return f"both away for {seconds:.0f} s"


# -- disk and clock ---------------------------------------------------------------------------


def _fill_disk(scene: Scene) -> str:
    if not scene.line.frames.is_mount():
        return "not done: no disk of its own may be mounted here"
    ballast = scene.line.frames / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(65536))
    scene.pause(FULL_SECONDS)
    ballast.unlink()
    return f"for {FULL_SECONDS:.0f} s"


def _delete_fragments(scene: Scene) -> str:
    """The two that were closed last: they are hardly archived yet."""
    camera = scene.random.choice(scene.cameras)
    reader = FrameReader(scene.line.frames)
    for epoch in reversed(reader.epochs(camera)):
        for fragment in reader.closed(camera, epoch).fragments[-2:]:
            scene.deleted.add((camera, epoch, fragment.fragment))
            reader.local_path(fragment.path).unlink(missing_ok=True)
        break
    return camera


def _step_clock(scene: Scene) -> str:
    """All clocks of the machine, and back again."""
    seconds = scene.random.choice((-40, 40))
    scene.set_clock(seconds)
    scene.pause(STEPPED_SECONDS)
    scene.set_clock(0)
    return f"by {seconds:+d} s and back after {STEPPED_SECONDS:.0f} s"


# -- messages ---------------------------------------------------------------------------------


def _poison(scene: Scene) -> str:
    camera = scene.random.choice(scene.cameras)
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    reference = {"schema": 1, "camera": camera, "epoch": "0" * 20, "fragment": 0}
    poisons = {
        f"fragment.{camera}": [
            "{",
            secrets.token_hex(2000),
            json.dumps({"schema": 9, "kind": "fragment"}),
            json.dumps({**reference, "kind": "fragment", "path": "../../../etc/passwd"}),
            json.dumps({**reference, "kind": "fragment", "bytes": 2**62, "captured_at": later}),
        ],
        f"batch.{camera}": ["", "[]", json.dumps({**reference, "kind": "batch", "offset": -1})],
        f"sample.{camera}": ["null", json.dumps({"schema": 1, "kind": "sample"})],
    }
    for key, bodies in poisons.items():
        for body in bodies:
            message = {"routing_key": key, "payload": body, "payload_encoding": "string"}
            scene.management.call(
                "POST", "/api/exchanges/%2F/cradle.frames/publish", {"properties": {}, **message}
            )
    return camera


KILLS: Final[dict[str, Strike]] = {f"kill {stage}": _one_of(stage, Scene.kill) for stage in STAGES}
OTHERS: Final[dict[str, Strike]] = {
    **STEPS,
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
    "store silent": _doorway("held", 20),
    "camera connections closed": _drop_cameras,
    "camera silent": _stall_camera,
    "camera changes resolution": _change_resolution,
    "cameras killed": _kill_cameras,
    "frame store full": _fill_disk,
    "fragments deleted": _delete_fragments,
    "clock stepped": _step_clock,
    "poison messages": _poison,
}
LONELY_KILLS: Final = {*KILLS, *(name for name in STEPS if name.startswith("kill archiver"))}
"""Of one worker, while another of its stage lives and nothing else is wrong."""
ALL: Final = {**KILLS, **OTHERS}
