"""`make demo` shows the address of its camera, which may hold a password, to nobody."""

import os
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from deploy.command import demo, up
from deploy.local.house import Page
from shared.errors import Misconfigured
from shared.users import Users
from shared.viewersettings import ViewerSettings

ROOT = Path(__file__).parents[2]
ADDRESS = "rtsp://user:pa$$word@192.0.2.10/stream1"


@pytest.mark.parametrize(
    ("words", "environment"), [([], {"CAMERA": ADDRESS}), ([f"CAMERA={ADDRESS}"], {})]
)
def test_make_hands_the_camera_over_by_the_environment_only(
    tmp_path: Path, words: list[str], environment: dict[str, str]
) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "words: $*"\necho "camera: $CRADLE_DEMO_CAMERA"\n')
    python.chmod(0o700)
    installed = tmp_path / "installed"
    installed.touch()
    variables = [f"BIN={tmp_path}", f"RUNTIME_STAMP={installed}", "DATA=data"]
    outside = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--no-print-directory", f"--old-file={installed}", *variables, "demo", *words],
        cwd=ROOT,
        env={**outside, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines() == [
        "words: -m deploy.command.demo --data data",
        f"camera: {ADDRESS}",
    ]


@pytest.mark.parametrize(
    ("words", "environment", "expected"),
    [
        ([], ADDRESS, ADDRESS),
        (["--camera", "test:320x240@10"], ADDRESS, "test:320x240@10"),
        ([], None, demo.GENERATED),
    ],
)
def test_the_demonstration_takes_its_camera_from_option_or_environment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    environment: str | None,
    expected: str,
) -> None:
    monkeypatch.setattr("sys.argv", ["demo", "--data", str(tmp_path), *words])
    monkeypatch.delenv(demo.CAMERA_VARIABLE, raising=False)
    if environment is not None:
        monkeypatch.setenv(demo.CAMERA_VARIABLE, environment)
    for variable in ("CAMERA", "MAKEFLAGS", "MFLAGS"):
        monkeypatch.setenv(variable, f" -- CAMERA={ADDRESS}")
    inherited: list[str] = []

    def run(_arguments: Namespace) -> int:
        inherited.extend(each for each, value in os.environ.items() if ADDRESS in value)
        return 0

    monkeypatch.setattr(up, "run", run)
    with pytest.raises(SystemExit, match=r"^0$"):
        demo.main()
    written = yaml.safe_load((tmp_path / "cradle.yaml").read_text())
    assert written["cameras"][0]["source"] == expected
    assert set(inherited) <= {"PYTEST_CURRENT_TEST"}


def test_a_video_is_found_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").touch()
    for camera in ("clip.mp4", "./clip.mp4", str(tmp_path / "clip.mp4")):
        cameras = demo.configuration(camera)["cameras"]
        assert isinstance(cameras, list)
        assert cameras[0]["source"] == (tmp_path / "clip.mp4").as_uri()


@pytest.mark.parametrize("camera", ["none.mp4", "/none.mp4", ""])
def test_what_is_no_video_and_no_address_is_told_which_forms_are_taken(camera: str) -> None:
    with pytest.raises(Misconfigured, match=r"^CAMERA: there is no file /.*; give rtsp://"):
        demo.configuration(camera)


def test_a_demonstration_that_is_refused_leaves_the_password_of_the_one_that_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _, password = demo.make_login(tmp_path / "viewer")

    def refuse(_arguments: Namespace) -> int:
        raise Misconfigured("--data: another `cradle up` runs there")

    monkeypatch.setattr("deploy.command.up.run", refuse)
    monkeypatch.setattr("sys.argv", ["demo", "--data", str(tmp_path)])
    with pytest.raises(SystemExit):
        demo.main()
    users = Users(ViewerSettings(url=(tmp_path / "viewer").as_uri()))
    assert users.check(demo.USER, password) is not None


def test_the_link_of_a_demonstration_fills_in_the_login() -> None:
    pages = [Page("the page", "http://127.0.0.1:8080/setup#token"), Page("other", "x")]
    assert up.with_login(pages, None) == pages
    first, second = up.with_login(pages, ("demo", "secret"))
    assert first.address == "http://127.0.0.1:8080/login#demo:secret"
    assert second == pages[1]
