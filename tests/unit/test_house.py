"""What `cradle up` refuses before it has started or written anything."""

import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from pydantic import SecretStr

from deploy.local import broker, house, needs
from deploy.local.house import House
from deploy.local.needs import require_broker, require_store
from shared.clock import SimulatedClock
from shared.config import BrokerSettings
from shared.errors import Misconfigured, MissingProgram
from shared.privatefile import private_folder

ELSEWHERE = {
    "broker": {"url": "amqp://127.0.0.1:5672/%2F"},
    "archive": {
        "endpoint": "http://127.0.0.1:9000",
        "access_key": "key",
        "secret_key": "secret",
    },
}
"""Broker and store of somebody else: nothing private is started."""


@pytest.fixture
def said() -> list[str]:
    """What houses have told the person in front of them."""
    return []


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Callable[..., House]:
    """Builds a house with one camera on a machine where everything is installed."""
    for variable in ("CRADLE_BROKER__URL", "CRADLE_ARCHIVE__ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(needs, "find_program", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(broker, "_SERVER", tmp_path)
    monkeypatch.setattr(house, "find_weed", lambda: "/usr/bin/weed")

    def of(source: str = "test:", **sections: Any) -> House:
        content = {"cameras": [{"id": "camera-1", "source": source}], **sections}
        file = tmp_path / "cradle.yaml"
        file.write_text(yaml.safe_dump(content))
        data = tmp_path / "data"
        try:
            return House(file, data, {}, SimulatedClock(), structlog.get_logger(), said.append)
        finally:
            assert not data.exists()

    return of


def _raise_missing(name: str, missing: str) -> str:
    if name == missing:
        raise MissingProgram(f"{name} is not installed")
    return f"/usr/bin/{name}"


@pytest.mark.parametrize("missing", ["ffmpeg", "setpriv"])
def test_a_missing_program_is_named_before_anything_starts(
    build: Callable[..., House], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    build(**ELSEWHERE)
    monkeypatch.setattr(needs, "find_program", lambda name: _raise_missing(name, missing))
    with pytest.raises(MissingProgram, match=missing):
        build(**ELSEWHERE)


def test_a_missing_server_matters_only_if_it_would_be_started(
    build: Callable[..., House], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    build()
    monkeypatch.setattr(house, "find_weed", lambda: _raise_missing("weed", "weed"))
    with pytest.raises(MissingProgram, match="weed"):
        build()
    monkeypatch.setattr(broker, "_SERVER", tmp_path / "none")
    with pytest.raises(MissingProgram, match="apt-get install rabbitmq-server"):
        build()
    build(**ELSEWHERE)


def test_a_video_file_that_cannot_be_read_is_refused_by_key_and_path(
    build: Callable[..., House], tmp_path: Path
) -> None:
    there = tmp_path / "there.mp4"
    there.touch()
    build(there.as_uri())
    for path in (tmp_path / "none.mp4", tmp_path):
        with pytest.raises(Misconfigured, match=rf"^cameras\.camera-1\.source: {path} "):
            build(path.as_uri())


def test_a_missing_password_is_told_of_and_costs_that_camera_alone(
    build: Callable[..., House], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("A_PW", raising=False)
    login = {"username": "viewer", "password_env": "A_PW"}
    cameras = [
        {"id": "camera-1", "source": "test:"},
        {"id": "camera-2", "source": "rtsp://192.0.2.1/1", **login},
    ]
    build(**ELSEWHERE, cameras=cameras)
    [words] = said
    assert words.startswith("cameras.camera-2.password_env: the environment variable A_PW is not")
    assert words.endswith("; until then camera-2 is offline")


def test_a_store_of_somebody_else_that_is_away_is_no_reason_not_to_start(
    build: Callable[..., House],
) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    archive = {**ELSEWHERE["archive"], "endpoint": endpoint}
    require_store(build(broker=ELSEWHERE["broker"], archive=archive).settings.archive, said.append)
    assert said == [
        f"archive.endpoint: object store {endpoint} cannot be reached: Connection refused; "
        "clips are stored when it is back"
    ]


def test_a_broker_of_somebody_else_that_is_away_is_told_of() -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        url = f"amqp://127.0.0.1:{nobody.getsockname()[1]}/%2F"
    require_broker(BrokerSettings(url=SecretStr(url)), said.append)
    assert len(said) == 1
    assert said[0].startswith(f"broker.url: the broker at {url} cannot be reached")
    assert said[0].endswith("the workers wait until it is back")


@pytest.mark.parametrize("key", ["frames", "live"])
@pytest.mark.parametrize("below", ["file", "file/folder", "/proc/folder"])
def test_a_given_folder_that_cannot_be_written_is_refused_by_key(
    build: Callable[..., House], tmp_path: Path, key: str, below: str
) -> None:
    (tmp_path / "file").touch()
    root = tmp_path / below
    with pytest.raises(Misconfigured, match=rf"^{key}\.url: {root} cannot be written \("):
        build(**{key: {"url": root.as_uri()}})


def test_a_given_folder_is_made(build: Callable[..., House], tmp_path: Path) -> None:
    build(frames={"url": (tmp_path / "a" / "b").as_uri()})
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize(
    ("archive", "sentence"),
    [
        ({"endpoint": "http://127.0.0.1:9000"}, r"^archive\.secret_key: is missing; add it$"),
        (
            {"endpoint": "http://cradle.s3.us-east-1.amazonaws.com", "secret_key": "x"},
            r"^archive\.endpoint: ",
        ),
    ],
)
def test_a_given_store_without_a_key_or_with_no_address_is_refused(
    build: Callable[..., House], archive: dict[str, str], sentence: str
) -> None:
    with pytest.raises(Misconfigured, match=sentence):
        build(archive=archive)


def test_another_client_finds_broker_and_store_of_somebody_else_too(
    build: Callable[..., House], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wherever it comes from: the file, the environment, or what is taken where neither says."""
    monkeypatch.setenv("CRADLE_ARCHIVE__SECRET_KEY", "of the environment")
    made = build(broker=ELSEWHERE["broker"], archive={"endpoint": "http://127.0.0.1:9000"})
    private_folder(tmp_path / "data" / "run")
    made._write_connections()
    file = tmp_path / "data" / "run" / "connections.env"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert dict(line.split("=", 1) for line in file.read_text().splitlines()) == {
        "CRADLE_BROKER__URL": "amqp://127.0.0.1:5672/%2F",
        "CRADLE_ARCHIVE__ENDPOINT": "http://127.0.0.1:9000",
        "CRADLE_ARCHIVE__ACCESS_KEY": "cradle",
        "CRADLE_ARCHIVE__SECRET_KEY": "of the environment",
        "CRADLE_ARCHIVE__BUCKET": "cradle",
        "CRADLE_ARCHIVE__REGION": "us-east-1",
        "CRADLE_FRAMES__URL": "file:///var/lib/cradle/frames",
        "CRADLE_FRAMES__SPOOL": "file:///var/lib/cradle/spool",
        "CRADLE_LIVE__SPOOL": "file:///var/lib/cradle/live-spool",
        "CRADLE_LIVE__URL": "file:///var/lib/cradle/live",
        "CRADLE_VIEWER__URL": "file:///var/lib/cradle/viewer",
    }
