"""`cradle up` as people run it: it comes up, what dies or hangs is mended, and it ends in order."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr

from deploy.command.main import main
from deploy.local.program import Program
from deploy.local.store import Store
from encoder.playlist import parse
from shared.config import ArchiveSettings
from shared.framestore import FrameReader
from shared.objectstore import ObjectStore
from tests.bench.processes import command_of, processes
from tests.line import archived_in, closed_in
from tests.services import BrokerService
from tests.support import eventually
from tests.viewer_house import PASSWORD, Person

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


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"broker": {"url": "wrong password"}}, "cradle up: broker.url: "),
        ({"archive": {"endpoint": "http://127.0.0.1:9"}}, "cradle up: archive.secret_key: "),
        ({"archive": {"secret_key": "wrong key"}}, "cradle up: archive.access_key, "),
        ({"frames": {"url": "file:///proc/frames"}}, "cradle up: frames.url: "),
        ({"live": {"url": "file:///proc/live"}}, "cradle up: live.url: "),
    ],
)
def test_up_refuses_in_a_sentence_before_anything_has_started(
    logging_as_before: None,
    broker: BrokerService,
    archive_settings: ArchiveSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    content: dict[str, dict[str, str]],
    sentence: str,
) -> None:
    for variable in [each for each in os.environ if each.startswith("CRADLE_")]:
        monkeypatch.delenv(variable)
    if "broker" in content:
        content = {"broker": {"url": broker.url.replace(broker.password, "hush")}}
    elif "secret_key" in content.get("archive", {}):
        content = {"archive": {"endpoint": archive_settings.endpoint, "secret_key": "hush"}}
    started: list[str] = []
    monkeypatch.setattr(Program, "start", lambda program: started.append(program.name))
    monkeypatch.setattr("deploy.command.up.stop_on_signals", threading.Event)
    config = tmp_path / "cradle.yaml"
    cameras = [{"id": "camera-1", "source": "test:320x240@10"}]
    config.write_text(yaml.safe_dump({**content, "cameras": cameras}), encoding="utf-8")
    assert main(["up", "--config", str(config), "--data", str(tmp_path / "data")]) == 2
    told = capfd.readouterr().err
    assert told.startswith(sentence)
    assert told.count("\n") == 1
    assert "hush" not in told
    assert started == []


def _pid(file: Path) -> int:
    """Of a worker; 0 while there is none."""
    text = file.read_text() if file.exists() else ""
    return int(text) if text.endswith("\n") else 0


def _enter_by_the_printed_link(said: str) -> Person:
    """Make the first user, as the person does who opens what was printed."""
    link = re.search(r"(http://127\.0\.0\.1:\d+)/setup#(\w+)", said)
    assert link is not None, said
    somebody = Person(link[1])
    given = {"name": "boss", "password": PASSWORD, "token": link[2]}
    answer = somebody.ask("POST", "/api/setup", given)
    assert answer.status == 200, answer
    somebody.take(answer)
    return somebody


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
        somebody = _enter_by_the_printed_link(said())
        (camera,) = somebody.get("/api/cameras")
        assert camera["id"] == "camera-1"
        playlist = somebody.ask("GET", "/api/cameras/camera-1/live/index.m3u8")
        assert playlist.body.startswith(b"#EXTM3U")
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


def _servers(parent: int) -> list[int]:
    """The broker and the object store that `cradle up` started."""
    return [
        each.pid
        for each in processes().values()
        if each.parent == parent
        and Path([*command_of(each.pid), ""][0]).name in {"beam.smp", "weed"}
    ]


def test_broker_and_store_killed_at_once_cost_no_stored_frame_and_stop_no_recording(
    tmp_path: Path,
) -> None:
    data = tmp_path / "data"
    playlist = data / "live" / "camera-1" / "index.m3u8"

    def sequence() -> int:
        found = parse(playlist.read_text(encoding="utf-8")) if playlist.exists() else None
        return found.media_sequence if found else 0

    with _up(tmp_path) as process:
        eventually(sequence, SECONDS)
        servers = _servers(process.pid)
        assert len(servers) == 2
        for each in servers:
            os.kill(each, signal.SIGKILL)
        killed_at = sequence()
        eventually(lambda: sequence() > killed_at + 8, SECONDS, "live goes on")
        eventually(lambda: len(_servers(process.pid)) == 2, SECONDS)
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    assert len(FrameReader(data / "frames").epochs("camera-1")) == 1  # one recording through it all
    store = Store(data / "store")
    store.start()
    try:
        store.wait_ready()
        settings = ArchiveSettings(
            endpoint=store.endpoint,
            access_key=store.access_key,
            secret_key=SecretStr(store.secret_key),
        )
        archived = archived_in(ObjectStore(settings), "camera-1")
        assert archived == closed_in(data / "frames", "camera-1") != []
    finally:
        store.stop()
