"""`cradle up` as people run it: it comes up, what dies or hangs is mended, and it ends in order."""

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
HUNG_SECONDS = 10.0

pytestmark = pytest.mark.timeout(5 * SECONDS)


@contextmanager
def _up(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`cradle up` on one generated picture, with all that it keeps in `folder/data`."""
    config = folder / "cradle.yaml"
    content = {
        "broker": {"heartbeat_seconds": 4},  # else it takes three of its usual ones to hang
        "archive": {"clip_seconds": 5},
        "cameras": [{"id": "camera-1", "source": "test:320x240@10"}],
    }
    config.write_text(yaml.safe_dump(content), encoding="utf-8")
    outside = {key: value for key, value in os.environ.items() if not key.startswith("CRADLE_")}
    command = [sys.executable, "-m", "deploy.command.up", "--config", str(config)]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--data", str(folder / "data"), "--hung-seconds", str(HUNG_SECONDS)],
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


def test_up_shows_a_picture_mends_a_worker_that_dies_or_hangs_and_ends_in_order(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    with _up(tmp_path) as process:

        def said() -> str:
            return (tmp_path / "up.log").read_text(errors="replace")

        def playlist_is_there() -> bool:
            assert process.poll() is None, said()
            return (data / "live" / "camera-1" / "index.m3u8").exists()

        eventually(playlist_is_there, SECONDS, "the live playlist")
        for worker, blow in (("encoder", signal.SIGKILL), ("archiver", signal.SIGSTOP)):
            pid_file = data / "run" / f"{worker}.pid"
            struck = _pid(pid_file)
            os.kill(struck, blow)

            def is_back(pid_file: Path = pid_file, struck: int = struck) -> bool:
                assert process.poll() is None, said()
                return _pid(pid_file) not in {0, struck}

            eventually(is_back, SECONDS, f"another {worker}")
        assert said().count("crew.hung") == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0, said()
    assert not list((data / "run").glob("*.pid"))
    for log in (data / "log").glob("*.log"):
        assert "Traceback" not in log.read_text(errors="replace"), log.name
