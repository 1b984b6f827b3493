"""`cradle check` against real cameras, a real broker and a real store."""

import json
import os
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import yaml

from deploy.command.main import main
from shared.config import ArchiveSettings
from tests.gate import Gate
from tests.rtsp import RtspServer
from tests.services import BrokerService
from tests.support import eventually
from tests.videos import Videos

USER = "viewer"
SECRET = "hush/@#:1"
"""Of the camera: with all that breaks an address."""

Found = dict[str, dict[str, Any]]


class House:
    """A configuration of which every part is there, to be broken by a test."""

    def __init__(
        self, folder: Path, archive: ArchiveSettings, broker_url: str, capture: Any
    ) -> None:
        self.file = folder / "cradle.yaml"
        self.secrets = [SECRET, quote(SECRET, safe=""), archive.secret_key.get_secret_value()]
        self.secrets.append(urlsplit(broker_url).password or "")
        self.content: dict[str, Any] = {
            "broker": {"url": broker_url},
            "frames": {"url": (folder / "frames").as_uri(), "quota_gib": 0.01},
            "live": {"url": (folder / "live").as_uri()},
            "archive": {
                **archive.model_dump(include={"endpoint", "access_key", "bucket"}),
                "secret_key": archive.secret_key.get_secret_value(),
            },
            "cameras": [],
        }
        self._capture = capture

    def camera(self, name: str, source: str, **changes: Any) -> None:
        self.content["cameras"].append({"id": name, "source": source, **changes})

    def check(self, code: int, *words: str) -> str:
        """Run it, and make sure that no secret is told."""
        if not self.content["cameras"]:
            self.camera("test", "test:160x90@5")
        self.file.write_text(yaml.safe_dump(self.content), encoding="utf-8")
        self.file.chmod(0o600)
        found = main(["check", "--config", str(self.file), *words])
        out, err = self._capture.readouterr()
        assert found == code, out + err
        assert err == ""
        assert not [secret for secret in self.secrets if secret and secret in out]
        return str(out)

    def facts(self, code: int) -> Found:
        """Run it with --json: findings by thing."""
        document = json.loads(self.check(code, "--json"))
        assert document["exit_code"] == code
        return {each["thing"]: each for each in document["findings"]}


@pytest.fixture
def house(
    tmp_path: Path,
    archive_settings: ArchiveSettings,
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> House:
    for variable in [each for each in os.environ if each.startswith("CRADLE_")]:
        monkeypatch.delenv(variable)
    return House(tmp_path, archive_settings, broker_url, capfd)


@pytest.fixture
def guarded_camera(videos: Videos) -> Iterator[str]:
    """The address of an RTSP camera that wants a login."""
    with RtspServer(user=USER, password=SECRET, digest=True) as server:
        yield server.mount("room", videos(".mp4"))


def fails(finding: dict[str, Any], state: str, *words: str) -> bool:
    return finding["state"] == state and all(each in finding["text"] for each in words)


def test_what_is_right_is_said_in_a_line_each(
    house: House, guarded_camera: str, videos: Videos, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_PW", SECRET)
    house.camera("door", guarded_camera, username=USER, password_env="A_PW")
    house.camera("test", "test:160x90@5")
    rate = r"(29|30|31)(\.\d+)?"  # as measured on the way, where a busy machine adds its own
    sees = rf"h264 320x180, {rate} fps, a key frame every 1 s, sound aac; carried as it is"

    def seen_as_it_is() -> list[str] | None:
        """The camera is paced by this machine too: where it is starved, look once more."""
        lines = house.check(0).splitlines()
        return lines if any(re.search(f"{sees}$", line) for line in lines) else None

    lines = eventually(seen_as_it_is, 60, sees)
    assert lines is not None
    told = {line[6:23].strip(): (line[:4].strip(), line[23:]) for line in lines if line}
    state, text = told["camera door"]
    assert state == "ok"
    assert re.fullmatch(sees, text)
    assert told["camera test"] == (
        "ok",
        "raw 160x90, 5 fps, no sound; encoded to H.264, which costs CPU time",
    )
    state, text = told["broker"]
    assert state == "ok"
    assert text.startswith("amqp://127.0.0.1:")
    assert "RabbitMQ " in text
    assert text.endswith("; workers: none yet")
    assert told["store"][0] == "ok"
    assert told["store"][1].endswith("; a second write of a key is refused")
    assert lines[-1] == f"{len(lines) - 2} ok"


def test_what_a_camera_costs_is_warned_of(house: House, videos: Videos) -> None:
    house.camera("old", videos(".avi", codec="mpeg4", audio="pcm_mulaw").as_uri())
    house.camera("new", videos(".mp4", codec="hevc", audio=None).as_uri())
    house.camera("lazy", videos(".mp4", gop_seconds=6, seconds=7, audio=None).as_uri())
    found = house.facts(0)
    assert fails(found["camera old"], "warn", "mpeg4 320x180", "sound pcm_mulaw", "costs CPU time")
    assert found["camera old"]["facts"]["carried"] is False
    assert fails(found["camera new"], "warn", "hevc 320x180", "no sound", "encoded to H.264 for")
    assert found["camera new"]["facts"]["carried"] is True
    assert fails(found["camera lazy"], "warn", "a key frame every 6 s", "live lags")


def test_what_is_wrong_with_a_camera_is_said_in_plain_words(
    house: House, guarded_camera: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with its own words, and no camera spoils another's."""
    (tmp_path / "text.mp4").write_text("no video at all\n" * 100)
    monkeypatch.setenv("WRONG_PW", SECRET[::-1])
    monkeypatch.setenv("A_PW", SECRET)
    login = {"username": USER, "password_env": "A_PW"}
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        house.camera("anonymous", guarded_camera)
        house.camera("intruder", guarded_camera, username=USER, password_env="WRONG_PW")
        house.camera("forgetful", guarded_camera, username=USER, password_env="NO_PW")
        house.camera("lost", guarded_camera.replace("room", "garden"), **login)
        house.camera("off", f"rtsp://127.0.0.1:{nobody.getsockname()[1]}/room")
        house.camera(
            "mute", f"rtsp://127.0.0.1:{silent.getsockname()[1]}/x", open_timeout_seconds=2
        )
        house.camera("nameless", "rtsp://no-such-host.invalid/room")
        house.camera("gone", (tmp_path / "nothing.mp4").as_uri())
        house.camera("text", (tmp_path / "text.mp4").as_uri())
        house.camera("good", guarded_camera, **login)
        found = house.facts(2)
    expected = {
        "anonymous": ("wrong", "cameras.anonymous.username: ", "wants a user and a password"),
        "intruder": ("wrong", "cameras.intruder: ", "refuses the user or the password"),
        "forgetful": ("wrong", "cameras.forgetful.password_env: ", "NO_PW is not set"),
        "lost": ("wrong", "cameras.lost.source: ", "/garden is not there; mend the path"),
        "off": ("unreachable", "127.0.0.1 answers, but nothing listens on its port"),
        "mute": ("unreachable", "takes the connection, but sent no video in 2 s"),
        "gone": ("wrong", "cameras.gone.source: ", "nothing.mp4 cannot be read (No such file"),
        "text": ("wrong", "cameras.text.source: ", "is not a video"),
        "good": ("ok", "h264 320x180"),
    }
    for name, (state, *words) in expected.items():
        assert fails(found[f"camera {name}"], state, *words), found[f"camera {name}"]
    # A machine without a resolver cannot tell a wrong name from one that it cannot look up.
    assert "no-such-host.invalid" in found["camera nameless"]["text"]
    assert found["camera nameless"]["state"] in {"wrong", "unreachable"}


def test_a_camera_that_goes_silent_is_not_waited_for(
    house: House, guarded_camera: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_PW", SECRET)
    with Gate(guarded_camera) as gate:
        gate.hold()
        login = {"username": USER, "password_env": "A_PW"}
        house.camera("held", gate.url, **login, open_timeout_seconds=1, stall_seconds=120)
        finding = house.facts(1)["camera held"]
    assert fails(finding, "unreachable", "takes the connection, but sent no video in 1 s")


# -- broker and store -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("breaks", "code", "state", "words"),
    [
        (lambda url: url.replace(urlsplit(url).password, "x"), 2, "wrong", "refuses the user or"),
        (lambda url: f"{url}-nothing", 2, "wrong", "refuses this virtual host"),
        (lambda _: "amqp://u:p@127.0.0.1:9/", 1, "unreachable", "127.0.0.1:9"),
    ],
)
def test_a_broker_that_does_not_let_us_in_is_told(
    house: House, breaks: Callable[[str], str], code: int, state: str, words: str
) -> None:
    house.content["broker"]["url"] = breaks(house.content["broker"]["url"])
    assert fails(house.facts(code)["broker"], state, words)


def test_rights_that_are_missing_are_told(
    house: House, broker: BrokerService, broker_url: str
) -> None:
    virtual_host = urlsplit(broker_url).path[1:]
    rights = {"configure": "^$", "write": ".*", "read": ".*"}
    broker.call("PUT", f"/api/permissions/{virtual_host}/{broker.user}", rights)
    assert fails(house.facts(2)["broker"], "wrong", "refuses this user")


@pytest.mark.parametrize(
    ("changes", "code", "state", "words"),
    [
        ({"secret_key": "wrong"}, 2, "wrong", "archive.access_key, archive.secret_key: "),
        ({"bucket": "no-such-bucket"}, 2, "wrong", "archive.bucket: "),
        ({"endpoint": "http://127.0.0.1:9"}, 1, "unreachable", "127.0.0.1:9"),
    ],
)
def test_a_store_that_is_of_no_use_is_told(
    house: House, changes: dict[str, str], code: int, state: str, words: str
) -> None:
    house.content["archive"].update(changes)
    assert fails(house.facts(code)["store"], state, words)


def test_what_is_left_to_cradle_up_is_no_failure(house: House) -> None:
    """As in a configuration that names nothing but cameras."""
    for section in ("broker", "archive", "frames", "live"):
        del house.content[section]
    found = house.facts(0)
    for thing, key in (("broker", "broker.url"), ("store", "archive.endpoint")):
        if found[thing]["state"] != "ok":  # unless one happens to run at the usual place
            assert fails(found[thing], "left out", f"{key} is not given: `cradle up` starts")


def test_a_running_house_is_checked_through_its_folder(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = []
    for section, keys in (
        ("broker", ("url",)),
        ("archive", ("endpoint", "access_key", "secret_key", "bucket")),
        ("frames", ("url",)),
        ("live", ("url",)),
    ):
        for key in keys:
            name = f"CRADLE_{section}__{key}".upper()
            monkeypatch.setenv(name, "")  # so that it is taken out again after the test
            monkeypatch.delenv(name)
            lines.append(f"{name}={house.content[section].pop(key)}\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "connections.env").write_text("".join(lines), encoding="utf-8")
    text = house.check(0, "--data", str(tmp_path))
    assert "ok    broker" in text
    assert "ok    store" in text
