"""The Dockerfile keeps its rules, and what runs beside the stages does its work."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Final

import pytest

from deploy.docker import healthcheck
from shared.messages import Stage
from tests.support import eventually

REPOSITORY: Final = Path(__file__).parents[2]
FOLDER: Final = REPOSITORY / "deploy" / "docker"
TEXT: Final = (FOLDER / "Dockerfile").read_text()


def test_the_linter_has_nothing_to_say() -> None:
    program = Path(sys.executable).with_name("hadolint")
    found = subprocess.run(
        [program, "--config", REPOSITORY / ".hadolint.yaml", "--no-color", FOLDER / "Dockerfile"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stdout) == (0, "")


def test_it_does_not_run_as_root_and_has_an_init() -> None:
    last = TEXT.rpartition("\nFROM ")[2].splitlines()
    assert "USER 10001:10001" in last
    assert 'ENTRYPOINT ["tini", "--", "cradle-stage"]' in last


def test_packages_are_those_of_the_lock() -> None:
    assert "pip install --no-deps --require-hashes -r requirements.lock" in TEXT


@pytest.mark.parametrize("stage", [stage.value for stage in Stage])
def test_the_command_is_the_stage(stage: str, tmp_path: Path) -> None:
    (tmp_path / "python").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "python").chmod(0o755)
    said = subprocess.run(
        [FOLDER / "entrypoint", stage, "--name", "one"],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    ).stdout
    assert said == f"-m {stage} --config /etc/cradle/cradle.yaml --name one\n"


def test_another_command_runs_as_it_stands() -> None:
    words = [str(FOLDER / "entrypoint"), "echo", "ingest", "a  b"]
    said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout
    assert said == "ingest a  b\n"


# -- the health check -----------------------------------------------------------------------------


def test_it_knows_every_stage() -> None:
    assert set(healthcheck.STAGES) == {stage.value for stage in Stage}


@pytest.mark.parametrize(
    ("command", "stage"),
    [
        ("tini\0--\0cradle-stage\0encoder\0", "encoder"),
        ("/sbin/docker-init\0--\0tini\0--\0cradle-stage\0ingest\0--name\0a\0", "ingest"),
        ("tini\0--\0cradle-stage\0cradle\0coverage\0", None),
    ],
)
def test_the_stage_is_the_one_of_the_command(command: str, stage: str | None) -> None:
    assert healthcheck.stage_of(command.encode()) == stage


def test_the_port_is_the_workers_and_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = tmp_path / "cradle.yaml"
    file.write_text("cameras: []")
    monkeypatch.setenv("CRADLE_CONFIG", str(file))
    assert healthcheck.port_of("archiver") == 9103
    file.unlink()
    assert healthcheck.port_of("archiver") == 9103


def test_the_port_that_is_configured_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    file = tmp_path / "cradle.yaml"
    file.write_text("metrics: {port: 9999}")
    monkeypatch.setenv("CRADLE_CONFIG", str(file))
    assert healthcheck.port_of("archiver") == 9999


@pytest.fixture
def worker() -> Iterator[HTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status if self.path == "/healthz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_worker_that_says_so_is_well(worker: HTTPServer) -> None:
    assert healthcheck.is_well(worker.server_port)


def test_a_worker_that_says_otherwise_is_not(worker: HTTPServer) -> None:
    worker.RequestHandlerClass.status = 503  # type: ignore[attr-defined]
    assert not healthcheck.is_well(worker.server_port)


def test_a_worker_that_does_not_answer_is_not_well(worker: HTTPServer) -> None:
    port = worker.server_port
    worker.shutdown()
    worker.server_close()
    assert not healthcheck.is_well(port)


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("own_folder")
def test_a_worker_hangs_when_every_look_for_long_enough_was_bad() -> None:
    one, next_life = healthcheck.Worker(7, "100"), healthcheck.Worker(7, "900")

    def looks(worker: healthcheck.Worker, *looks: tuple[float, bool]) -> list[bool]:
        return [healthcheck.hangs(worker, well=well, now=now) for now, well in looks]

    assert not any(looks(one, (0, True), (15, False), (90, False), (104, False)))
    assert looks(one, (106, False)) == [True]
    assert not any(looks(one, (110, True), (120, False), (200, False), (205, True), (211, False)))
    # One that was started anew, and has never answered yet, may still be starting.
    assert not any(looks(next_life, (1000, False), (1095, False), (1299, False)))
    assert looks(next_life, (1300, False)) == [True]


def test_the_worker_is_found_whatever_stands_before_it(tmp_path: Path) -> None:
    for pid, words in {
        "1": "/sbin/docker-init\0--\0tini\0--\0cradle-stage\0ingest\0",
        "6": "tini\0--\0cradle-stage\0ingest\0",
        "7": "python\0-m\0ingest\0--config\0x\0",
        "30": "python\0-m\0deploy.docker.healthcheck\0",
    }.items():
        folder = tmp_path / pid
        folder.mkdir()
        (folder / "cmdline").write_text(words)
        (folder / "stat").write_text(f"{pid} (a) name) S " + " ".join(map(str, range(4, 53))))
    assert healthcheck.worker_of("ingest", tmp_path) == healthcheck.Worker(7, "22")
    assert healthcheck.worker_of("encoder", tmp_path) is None


def test_a_process_of_this_machine_is_read_as_it_is() -> None:
    sleeper = [sys.executable, "-m", "timeit", "-n", "1", "-r", "1", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeper) as process:
        try:
            worker = eventually(lambda: healthcheck.worker_of("timeit"), 10)
            assert worker is not None
            assert worker.pid == process.pid
            assert int(worker.started) > 0
        finally:
            process.kill()
