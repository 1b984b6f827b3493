"""`cradle check` and the `cradle` command: findings, lines, exit codes, and this machine."""

import json
import os
import shutil
import socket
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from deploy.command import check, check_machine, connections, main
from deploy.command.check_analysis import check_analysis
from deploy.command.check_camera import Seen, in_words, remarks
from deploy.command.check_machine import GIB, check_ffmpeg, check_file, check_folder, check_space
from deploy.command.check_services import version_of
from deploy.command.finding import Check, Finding, State, from_error, side_by_side
from deploy.command.refusal import plain
from deploy.local import broker
from shared import config
from shared.clock import SimulatedClock
from shared.config import CameraSettings, FrameSettings, LiveSettings
from shared.errors import Misconfigured, Unavailable
from shared.source import SourceKind
from tests.starving import starving


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [each for each in os.environ if each.startswith("CRADLE_")]:
        monkeypatch.delenv(variable)


def ok(thing: str) -> Finding:
    return Finding(thing, State.OK, "fine")


# -- findings -------------------------------------------------------------------------------------


def test_checks_run_side_by_side_and_are_told_in_order() -> None:
    """Each waits for the other: one after the other they would never end."""
    meeting = threading.Barrier(3, timeout=10)

    def meet(thing: str) -> Finding:
        meeting.wait()
        return ok(thing)

    checks = [Check(name, 10, partial(meet, name)) for name in "abc"]
    assert [each.thing for each in side_by_side(checks)] == ["a", "b", "c"]


def test_more_checks_than_threads_are_all_done() -> None:
    checks = [Check(str(number), 10, partial(ok, str(number))) for number in range(9)]
    assert [each.thing for each in side_by_side(checks, 2)] == [str(each) for each in range(9)]


def test_a_check_that_hangs_is_left_behind() -> None:
    never = threading.Event()

    def hang() -> Finding:
        never.wait(60)
        return ok("hung")

    # Time for the other to begin and end, on a machine that lets nobody run for a moment.
    checks = [Check("hung", 2, hang), Check("other", 2, lambda: ok("other"))]
    with starving() as machine:
        began = time.monotonic()
        found = list(side_by_side(checks))
        assert time.monotonic() - began - machine.seconds() < 3
    never.set()
    assert found == [Finding("hung", State.UNREACHABLE, "did not answer in 2 s"), ok("other")]


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        (Misconfigured("mend it"), State.WRONG, "mend it"),
        (Unavailable("away"), State.UNREACHABLE, "away"),
        (ValueError("odd"), State.UNREACHABLE, "ValueError: odd"),
        (Unavailable("rtsp://u:hush@host away"), State.UNREACHABLE, "rtsp://***@host away"),
    ],
)
def test_whatever_a_check_raises_is_its_finding(error: Exception, state: State, text: str) -> None:
    def fail() -> Finding:
        raise error

    assert list(side_by_side([Check("x", 10, fail)])) == [Finding("x", state, text)]
    assert from_error("x", error) == Finding("x", state, text)


@pytest.mark.parametrize(
    ("states", "code", "summary"),
    [
        ([State.OK, State.OK], 0, "2 ok"),
        ([State.OK, State.WARN, State.LEFT_OUT], 0, "1 ok, 1 warning"),
        ([State.WARN, State.UNREACHABLE], 1, "0 ok, 1 warning, 1 failed: thing-1"),
        ([State.UNREACHABLE, State.WRONG], 2, "0 ok, 2 failed: thing-0, thing-1"),
    ],
)
def test_the_exit_code_says_who_must_act(states: list[State], code: int, summary: str) -> None:
    found = [Finding(f"thing-{number}", state, "") for number, state in enumerate(states)]
    assert check.exit_code(found) == code
    assert check.summary(found) == summary


# -- the command ----------------------------------------------------------------------------------


def test_every_fault_of_a_configuration_has_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cradle.yaml"
    file.write_text("log: {level: loud}\ncameras: [{id: ../x, source: 'rtsp://u:hush@h/'}]\n")
    assert main.main(["check", "--config", str(file)]) == 2
    assert capsys.readouterr().out.splitlines() == [
        "FAIL  configuration    log.level: must be 'debug', 'info', 'warning' or 'error'",
        "FAIL  configuration    cameras (no. 1).id: must be 1 to 32 small letters, digits and -, "
        "and not begin with -",
        "",
        "0 ok, 2 failed: configuration",
    ]
    assert main.main(["check", "--config", str(file), "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["exit_code"] == 2
    assert [each["state"] for each in document["findings"]] == ["wrong", "wrong"]


def test_a_configuration_without_cameras_is_not_enough(tmp_path: Path) -> None:
    (tmp_path / "cradle.yaml").write_text("cameras: []\n")
    finding = next(check.look(tmp_path / "cradle.yaml", SimulatedClock()))
    assert finding.state is State.WRONG
    assert finding.text.startswith("cameras: there is none")


def test_a_file_that_is_not_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(["check", "--config", str(tmp_path / "none.yaml")]) == 2
    assert "none.yaml: cannot be read (No such file or directory)" in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["nonsense"], ["check"], ["coverage", "--line", "--json"]])
def test_wrong_words_are_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main(words)
    assert caught.value.code == 2
    assert "usage: cradle" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        *([name] for name in main.COMMANDS if name not in {"lost", "user"}),
        *(["lost", what] for what in ("list", "show", "republish")),
        *(["user", what] for what in ("add", "list", "remove")),
    ],
)
def test_every_command_explains_its_options(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main.main([*words, "--help"])
    assert caught.value.code == 0
    assert "--config" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Misconfigured("mend it"), 2, "cradle check: mend it\n"),
        (Unavailable("away"), 1, "cradle check: away\n"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_a_command_raises_becomes_its_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    def fail(_arguments: object) -> int:
        raise error

    monkeypatch.setattr(check, "run", fail)
    assert main.main(["check", "--config", "x"]) == code
    assert capsys.readouterr().err == said


# -- this machine ---------------------------------------------------------------------------------


def test_a_folder_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    assert check_folder("frames", tmp_path, "frames.url") == Finding(
        "frames", State.OK, str(tmp_path)
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_must_be_possible_to_make(tmp_path: Path) -> None:
    finding = check_folder("live", tmp_path / "a" / "b", "live.url")
    assert (finding.state, finding.text) == (State.OK, f"{tmp_path}/a/b (will be made)")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    finding = check_folder("live", tmp_path / "file" / "b", "live.url")
    assert finding.state is State.WRONG
    assert finding.text == (
        f"live.url: {tmp_path}/file/b is not there and cannot be made in {tmp_path}/file"
    )


def test_a_file_in_the_place_of_a_folder_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    finding = check_folder("live", tmp_path / "file", "live.url")
    assert finding.state is State.WRONG
    assert finding.text == f"live.url: {tmp_path}/file cannot be written (Not a directory)"


@pytest.mark.parametrize(("free_gib", "state"), [(3, State.WARN), (4, State.OK)])
def test_the_quota_must_fit_beside_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free_gib: int, state: State
) -> None:
    (tmp_path / "camera-1" / "epoch").mkdir(parents=True)
    with (tmp_path / "camera-1" / "epoch" / "000000.ts").open("wb") as fragment:
        fragment.truncate(GIB)
    usage = type(shutil.disk_usage(tmp_path))(0, 0, free_gib * GIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    finding = check_space(FrameSettings(url=tmp_path.as_uri(), quota_gib=5))
    assert finding.state is state
    assert (f"has room for {free_gib + 1}.0 GiB; set it lower" in finding.text) == (free_gib == 3)


def test_folders_inside_each_other_are_wrong(tmp_path: Path) -> None:
    for frames, live, wrong in (("a", "a", 1), ("a", "a/b", 1), ("a/b", "a", 1), ("a", "b", 0)):
        settings = config.from_mapping(
            {
                "frames": {"url": (tmp_path / frames).as_uri(), "quota_gib": 0.001},
                "live": {"url": (tmp_path / live).as_uri()},
            }
        )
        found = check_machine.check_machine(settings, dict.fromkeys(check.KEYS_OF_UP, True))
        assert len([each for each in found if each.state is State.WRONG]) == wrong


@pytest.mark.parametrize(
    ("content", "mode", "warns"),
    [
        ({"archive": {"secret_key": "hush"}}, 0o644, True),
        ({"archive": {"secret_key": "hush"}}, 0o640, True),
        ({"archive": {"secret_key": "hush"}}, 0o600, False),
        ({"broker": {"url": "amqp://u:hush@h/"}}, 0o644, True),
        ({"broker": {"url": "amqp://h/"}}, 0o644, False),
        ({"cameras": [{"source": "rtsp://u:hush@h/"}]}, 0o644, True),
        ({"cameras": [{"source": "test:640x360@5"}]}, 0o644, False),
        ({"cameras": None, "archive": None}, 0o644, False),
    ],
)
def test_a_file_with_secrets_is_for_its_owner_alone(
    tmp_path: Path, content: dict[str, Any], mode: int, warns: bool
) -> None:
    file = tmp_path / "cradle.yaml"
    file.touch(mode)
    file.chmod(mode)
    finding = check_file(file, content)
    assert (finding is not None) == warns
    if finding is not None:
        assert "chmod 600" in finding.text


def program(folder: Path, text: str) -> None:
    file = folder / "ffmpeg"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("echo ffmpeg version 9; echo ' A..... aac'", "cannot encode with libx264; use Debian's"),
        ("exit 3", "does not run"),
    ],
)
def test_an_ffmpeg_that_is_of_no_use_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    program(tmp_path, text)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    finding = check_ffmpeg()
    assert finding.state is State.WRONG
    assert words in finding.text


def test_the_ffmpeg_of_this_machine_will_do() -> None:
    assert check_ffmpeg().state is State.OK


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.child.shutil.which", lambda *_args, **_kw: None)
    assert check_ffmpeg() == Finding(
        "ffmpeg", State.WRONG, "ffmpeg is not installed; run: apt-get install ffmpeg"
    )


def test_check_looks_for_the_broker_where_up_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_out = dict.fromkeys(check.KEYS_OF_UP, False)
    away = Finding("broker", State.UNREACHABLE, "away")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(broker, "_SERVER", tmp_path)
    assert check._or_left_out(away, left_out).state is State.LEFT_OUT
    monkeypatch.setattr(broker, "_SERVER", tmp_path / "none")
    assert check._or_left_out(away, left_out).state is State.WRONG


def test_what_the_environment_or_the_file_names_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not connections.is_given("archive.endpoint", {"archive": {"bucket": "b"}})
    assert not connections.is_given("archive.endpoint", {"archive": None})
    assert connections.is_given("archive.endpoint", {"archive": {"endpoint": "x"}})
    monkeypatch.setenv("CRADLE_ARCHIVE__ENDPOINT", "x")
    assert connections.is_given("archive.endpoint", {})


# -- analysis -------------------------------------------------------------------------------------


def gemini(**changes: Any) -> dict[str, Any]:
    return {
        "analysis": {
            "provider": "gemini",
            "gemini": {"paid_tier_confirmed": True, "api_key_env": "A_KEY", **changes},
        },
        "cameras": [
            {"id": "a", "source": "test:", "remote_analysis": {"consent_date": "2026-01-01"}},
            {"id": "b", "source": "test:"},
        ],
    }


def test_a_local_analysis_needs_nothing() -> None:
    for provider in ("off", "local"):
        settings = config.from_mapping({"analysis": {"provider": provider}})
        assert check_analysis(settings, SimulatedClock()).state is State.OK


def test_gemini_without_a_key_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    with pytest.raises(Misconfigured, match="the variable A_KEY is not set"):
        check_analysis(config.from_mapping(gemini()), SimulatedClock())


def test_gemini_says_whose_pictures_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "hush")
    finding = check_analysis(config.from_mapping(gemini()), SimulatedClock())
    assert finding.state is State.OK
    assert finding.text.endswith("pictures leave this machine for: a")
    assert finding.facts["kept"] == {"b": "cameras.b.remote_analysis: no consent is recorded"}
    unpaid = gemini(paid_tier_confirmed=False)
    finding = check_analysis(config.from_mapping(unpaid), SimulatedClock())
    assert finding.state is State.WARN
    assert "no camera (analysis.gemini.paid_tier_confirmed is not true" in finding.text
    assert "hush" not in finding.text


# -- cameras --------------------------------------------------------------------------------------


def seen(**changes: Any) -> Seen:
    facts: dict[str, Any] = {
        "source": "rtsp://h/",
        "kind": SourceKind.RTSP,
        "video": "h264",
        "carried": True,
        "width": 1920,
        "height": 1080,
        "frames_per_second": 29.97,
        "key_frame_seconds": 1.0,
        "sound": "aac",
    }
    return Seen(**{**facts, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "h264 1920x1080, 29.97 fps, a key frame every 1 s, sound aac"),
        ({"sound": None, "width": 0}, "h264 (size not announced), 29.97 fps, a key frame every"),
        ({"frames_per_second": 0.0, "key_frame_seconds": 2.04}, "rate not announced, a key frame"),
        ({"video": "mjpeg", "carried": False, "sound": "pcm_alaw"}, "29.97 fps, sound pcm_alaw"),
    ],
)
def test_what_a_camera_sends_is_said_in_words(changes: dict[str, Any], words: str) -> None:
    assert words in in_words(seen(**changes))


@pytest.mark.parametrize(
    ("changes", "video", "words"),
    [
        ({}, "auto", None),
        ({}, "h264", "live.video: h264 encodes it for live"),
        ({"video": "hevc"}, "auto", "encoded to H.264 for live, which costs CPU time"),
        ({"video": "hevc"}, "copy", None),
        ({"video": "mjpeg", "carried": False}, "auto", "decoded and encoded to H.264, which costs"),
        ({"kind": SourceKind.TEST, "carried": False}, "auto", None),
        ({"key_frame_seconds": 4.5}, "auto", "live lags by as much as key frames lie apart"),
        ({"key_frame_seconds": None}, "auto", "no second key frame in up to 8 s"),
    ],
)
def test_what_could_be_better_is_said(
    changes: dict[str, Any], video: str, words: str | None
) -> None:
    found = remarks(seen(**changes), LiveSettings.model_validate({"video": video}))
    assert len(found) == (words is not None)
    assert words is None or words in found[0]


def camera(source: str, **changes: Any) -> CameraSettings:
    facts = {"id": "a", "source": source, "open_timeout_seconds": 10, **changes}
    return config.from_mapping({"cameras": [facts]}).cameras[0]


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("words", "took", "kind", "sentence"),
    [
        (
            "cannot be opened: Server returned 401 Unauthorized (authorization failed)",
            0.1,
            Misconfigured,
            "refuses the user or the password; mend username, or the variable",
        ),
        ("cannot be opened: Server returned 404 Not Found", 0.1, Misconfigured, "is not there"),
        ("cannot be opened: Invalid data found", 9.9, Unavailable, "sent no video in 10 s"),
        ("cannot be opened: Invalid data found", 0.1, Misconfigured, "is not a video"),
        ("it is not a video but tty", 0.1, Misconfigured, "is not a video (it is not a video but"),
        ("there is no video in it that can be read", 0.1, Misconfigured, "is not a video"),
        ("broke off: something", 0.1, Unavailable, "rtsp://127.0.0.1"),
    ],
)
def test_why_a_reachable_camera_does_not_open_is_said_plainly(
    listener: int, words: str, took: float, kind: type[Exception], sentence: str
) -> None:
    refusal = plain(camera(f"rtsp://u:hush@127.0.0.1:{listener}/x"), words, took)
    assert type(refusal) is kind
    assert sentence in str(refusal)
    assert "hush" not in str(refusal)


def test_a_camera_that_wants_a_login_says_which_keys(listener: int) -> None:
    refusal = plain(camera(f"rtsp://127.0.0.1:{listener}/x"), "401 Unauthorized", 0.1)
    assert str(refusal).startswith("cameras.a.username: ")
    assert "give username and password_env" in str(refusal)


def test_a_host_that_refuses_or_is_not_there_is_said_plainly(
    listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    refusal = plain(camera(f"http://127.0.0.1:{free}/x"), "Connection refused", 0.1)
    assert isinstance(refusal, Unavailable)
    assert f"127.0.0.1 answers, but nothing listens on its port {free}" in str(refusal)

    def fail(error: OSError) -> None:
        def connect(address: tuple[str, int], _timeout: float) -> None:
            assert address == ("room", 554)
            raise error

        monkeypatch.setattr(socket, "create_connection", connect)

    for error, kind, sentence in (
        (TimeoutError(), Unavailable, "room does not answer on port 554; is the camera on"),
        (OSError(113, "x"), Unavailable, "room cannot be reached on port 554 (No route to host)"),
        (socket.gaierror(socket.EAI_NONAME, "x"), Misconfigured, "no host is called room"),
        (socket.gaierror(socket.EAI_AGAIN, "later"), Unavailable, "cannot be looked up (later)"),
    ):
        fail(error)
        refusal = plain(camera("rtsp://room/x"), "Input/output error", 0.1)
        assert type(refusal) is kind
        assert sentence in str(refusal)


def test_versions_are_compared_as_numbers() -> None:
    assert version_of("3.9.27") < version_of("3.10.8") < version_of("4.3.6")
    assert version_of("4.0.0-rc.1") == (4, 0)
    assert version_of("") == ()
