"""`cradle up` as people run it: everything comes up, what dies is mended, and it ends in order."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.support import eventually

SECONDS = 120.0

pytestmark = pytest.mark.timeout(5 * SECONDS)


@contextmanager
def _up(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`cradle up` on one generated picture, with all that it keeps in `folder/data`."""
    config = folder / "cradle.yaml"
    content = {
        "archive": {"clip_seconds": 5},
        "cameras": [{"id": "camera-1", "source": "test:320x240@10"}],
    }
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    outside = {key: value for key, value in os.environ.items() if not key.startswith("CRADLE_")}
    command = [sys.executable, "-m", "deploy.command.up", "--config", str(config)]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--data", str(folder / "data")],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=outside,
        )
    try:
        yield process
    finally:
        process.kill()  # what it started dies with it
        process.wait()


def _pid(file: Path) -> int:
    """Of a worker; 0 while there is none."""
    text = file.read_text() if file.exists() else ""
    return int(text) if text.endswith("\n") else 0


def test_up_shows_a_picture_mends_a_killed_worker_and_ends_in_order(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with _up(tmp_path) as process:

        def said() -> str:
            return (tmp_path / "up.log").read_text(errors="replace")

        def playlist_is_there() -> bool:
            assert process.poll() is None, said()
            return (data / "live" / "camera-1" / "index.m3u8").exists()

        eventually(playlist_is_there, SECONDS, "the live playlist")
        pid_file = data / "run" / "encoder.pid"
        killed = _pid(pid_file)
        os.kill(killed, signal.SIGKILL)

        def is_back() -> bool:
            assert process.poll() is None, said()
            return _pid(pid_file) not in {0, killed}

        eventually(is_back, SECONDS, "another encoder")
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, said()
    assert not list((data / "run").glob("*.pid"))
    for log in (data / "log").glob("*.log"):
        assert "Traceback" not in log.read_text(errors="replace"), log.name
