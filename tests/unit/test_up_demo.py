"""`make demo` shows the address of its camera, which may hold a password, to nobody."""

import os
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest
import yaml

from deploy.command import demo, up

ROOT = Path(__file__).parents[2]
ADDRESS = "rtsp://user:pa$$word@192.0.2.10/stream1"


def test_make_hands_the_camera_over_by_the_environment_only(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "words: $*"\necho "camera: $CRADLE_DEMO_CAMERA"\n')
    python.chmod(0o700)
    installed = tmp_path / "installed"
    installed.touch()
    variables = [f"BIN={tmp_path}", f"RUNTIME_STAMP={installed}", "DATA=data"]
    outside = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(
        ["make", "--no-print-directory", f"--old-file={installed}", *variables, "demo"],
        cwd=ROOT,
        env={**outside, "CAMERA": ADDRESS},
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
    inherited: list[str | None] = []

    def run(_arguments: Namespace) -> int:
        inherited.append(os.environ.get(demo.CAMERA_VARIABLE))
        return 0

    monkeypatch.setattr(up, "run", run)
    with pytest.raises(SystemExit, match=r"^0$"):
        demo.main()
    written = yaml.safe_load((tmp_path / "cradle.yaml").read_text())
    assert written["cameras"][0]["source"] == expected
    assert inherited == [None]
