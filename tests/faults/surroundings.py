"""Strikes at what is around the house: cameras, the disk of the frame store, clocks, messages."""

import json
import secrets
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.faults.plan import OTHER_FOOTAGE
from tests.faults.scene import Scene
from tests.rtsp import RtspServer

FULL_SECONDS: Final = 12.0
READ_ONLY_SECONDS: Final = 12.0
STEPPED_SECONDS: Final = 12.0


# -- cameras ----------------------------------------------------------------------------------


def drop_cameras(scene: Scene) -> str:
    scene.rtsp.drop_connections()
    return "all connections closed"


def stall_camera(scene: Scene) -> str:
    seconds = scene.random.uniform(12, 20)
    scene.rtsp.stall("rtsp-2")
    scene.pause(seconds)
    scene.rtsp.resume("rtsp-2")
    return f"rtsp-2 silent for {seconds:.0f} s"


def change_resolution(scene: Scene) -> str:
    scene.rtsp.switch("rtsp-1", scene.files[OTHER_FOOTAGE])
    scene.pause(10)
    scene.rtsp.switch("rtsp-1", scene.files["rtsp-1"])
    return "rtsp-1, and back"


def kill_cameras(scene: Scene) -> str:
    """The cameras lose power, and come back."""
    scene.rtsp.kill()
    seconds = scene.random.uniform(3, 8)
    scene.pause(seconds)
    scene.rtsp = RtspServer(scene.rtsp.port)
    for name in ("rtsp-1", "rtsp-2"):
        scene.rtsp.mount(name, scene.files[name])
    return f"both away for {seconds:.0f} s"


# -- disk and clock ---------------------------------------------------------------------------


def fill_disk(scene: Scene) -> str:
    if not scene.line.frames.is_mount():
        return "not done: no disk of its own may be mounted here"
    ballast = scene.line.frames / "ballast"
    with suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(65536))
    scene.pause(FULL_SECONDS)
    ballast.unlink()
    return f"for {FULL_SECONDS:.0f} s"


def make_read_only(scene: Scene) -> str:
    """As a file system does that has met an error. Possible only while nobody writes to it."""
    if not scene.line.frames.is_mount():
        return "not done: no disk of its own may be mounted here"
    for victim in scene.living("ingest"):
        scene.kill(victim)
    if not scene.until(lambda: _remount(scene, "ro"), READ_ONLY_SECONDS):
        return "not done: somebody was always writing"
    scene.pause(READ_ONLY_SECONDS)
    _remount(scene, "rw")
    return f"ingest killed, for {READ_ONLY_SECONDS:.0f} s"


def _remount(scene: Scene, how: str) -> bool:
    command = ["mount", "-o", f"remount,{how}", str(scene.line.frames)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def delete_fragments(scene: Scene) -> str:
    """The two that were closed last: they are hardly archived yet."""
    camera = scene.random.choice(scene.cameras)
    reader = scene.line.frame_store
    for epoch in reversed(reader.epochs(camera)):
        for fragment in reader.closed(camera, epoch).fragments[-2:]:
            scene.deleted.add((camera, epoch, fragment.fragment))
            scene.delete(fragment.path)
        break
    return camera


def step_clock(scene: Scene) -> str:
    """All clocks of the machine: forward and back, or back and forward."""
    seconds = scene.random.choice((-40, 40))
    for wrong_by in (seconds, 0, -seconds, 0):
        scene.set_clock(wrong_by)
        scene.pause(STEPPED_SECONDS)
    return f"by {seconds:+d} s, by {-seconds:+d} s, and right again, {STEPPED_SECONDS:.0f} s each"


# -- messages ---------------------------------------------------------------------------------


def poison(scene: Scene) -> str:
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
