"""Every fault of the configuration is one sentence that names the key and shows no secret."""

import re
import traceback
from pathlib import Path
from typing import Any

import pytest

from shared import config
from shared.configfile import BadConfiguration
from shared.errors import Misconfigured
from shared.messages import Stage

CAMERA = {"id": "camera-1", "source": "test:"}


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CRADLE_BROKER__URL", "CRADLE_ARCHIVE__ENDPOINT", "CRADLE_FRAMES__URL"):
        monkeypatch.delenv(variable, raising=False)


def refusal(content: dict[str, Any]) -> str:
    with pytest.raises(Misconfigured) as caught:
        config.from_mapping(content)
    return str(caught.value)


def refusal_of_text(folder: Path, text: str) -> str:
    file = folder / "cradle.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(Misconfigured) as caught:
        config.load(file)
    return str(caught.value).replace(str(folder), "")


def camera(**changes: Any) -> dict[str, Any]:
    return {"cameras": [{**CAMERA, **changes}]}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"archiv": {}}, "archiv: no such key; did you mean archive?"),
        (
            {"archive": {"xyzzy": 1}},
            "archive.xyzzy: no such key; take it out or mend its spelling",
        ),
        (
            {"archive": {"endpiont": "x"}},
            "archive.endpiont: no such key; did you mean endpoint?",
        ),
        (
            {"analysis": {"budget": {"usd": 1}}},
            "analysis.budget.usd: no such key; take it out or mend its spelling",
        ),
        (camera(pasword_env="X"), "cameras.camera-1.pasword_env: no such key; did you mean "),
        ({"_env_file": "x"}, "_env_file: no such key; take it out"),
        ({"archive": 3}, "archive: must be a section with keys of its own"),
        ({"archive": {"clip_seconds": "ten"}}, "archive.clip_seconds: must be a whole number"),
        ({"archive": {"clip_seconds": 4}}, "archive.clip_seconds: must be at least 5"),
        ({"archive": {"clip_seconds": 901}}, "archive.clip_seconds: must be at most 900"),
        (
            {"archive": {"retention_days": 59}},
            "archive: retention_days: 59 is under 60, which Korean childcare must keep; where no "
            "such law applies, say shorter_retention_accepted: true",
        ),
        ({"archive": {"bucket": "A_b"}}, "archive.bucket: must be 3 to 63 small letters"),
        ({"archive": {"access_key": 12}}, "archive.access_key: must be text; put it into quotes"),
        (
            {"archive": {"endpoint": "127.0.0.1:9000"}},
            "archive.endpoint: is not an address of the form",
        ),
        (
            {"archive": {"endpoint": "http://127.0.0.1:9000/bucket"}},
            "archive.endpoint: must look like http://host:port, without a path",
        ),
        (
            {"archive": {"endpoint": "http://key:hush@127.0.0.1:9000"}},
            "archive.endpoint: must not name a user",
        ),
        ({"broker": {"url": "http://host/"}}, "broker.url: must look like amqp://user:password@"),
        (
            {"frames": {"url": "s3://no_bucket"}},
            "frames.url: must look like file:///a/folder or s3://bucket/prefix",
        ),
        (
            {"live": {"url": "s3://cradle/live"}},
            "live.url: needs a bucket of its own, not that of archive.bucket",
        ),
        (
            {"frames": {"url": "s3://footage"}, "live": {"url": "s3://footage/live"}},
            "live.url: needs a bucket of its own, not that of frames.url",
        ),
        ({"live": {"url": "live"}}, "live.url: must look like file:///a/folder"),
        ({"frames": {"quota_gib": float("inf")}}, "frames.quota_gib: must be a number"),
        ({"frames": {"quota_gib": 0}}, "frames.quota_gib: must be more than 0"),
        ({"log": {"level": "loud"}}, "log.level: must be 'debug', 'info', 'warning' or 'error'"),
        ({"timezone": "Mars/One"}, "timezone: no time zone is called 'Mars/One'"),
        ({"timezone": "Asia"}, "timezone: no time zone is called 'Asia'"),
        ({"timezone": "../../etc/passwd"}, "timezone: no time zone is called"),
        ({"cameras": CAMERA}, "cameras: must be a list, each entry behind a `-`"),
        ({"cameras": [{"id": "a"}]}, "cameras.a.source: is missing; add it"),
        ({"cameras": [{"source": "test:"}]}, "cameras (no. 1).id: is missing; add it"),
        (
            {"cameras": [CAMERA, {**CAMERA, "loop": "maybe"}]},
            "cameras (no. 2).loop: must be true or false",
        ),
        ({"cameras": [CAMERA, CAMERA]}, "cameras: the id camera-1 stands there twice"),
        (camera(id="../etc"), "cameras (no. 1).id: must be 1 to 32 small letters, digits and -"),
        (camera(id="a" * 33), "cameras (no. 1).id: must be 1 to 32 small letters, digits and -"),
        (camera(id="-a"), "cameras (no. 1).id: must be 1 to 32 small letters, digits and -"),
        (camera(loop="maybe"), "cameras.camera-1.loop: must be true or false"),
        (
            camera(username="u", password_env="pa ss"),
            "cameras.camera-1.password_env: must be the name of an environment variable that holds",
        ),
        (
            camera(source="rtsp://host/", password_env="PW"),
            "cameras.camera-1: password_env is given, but no username; add username",
        ),
        (
            camera(source="rtsp://a@host/", username="b"),
            "cameras.camera-1: source names a user, and username too; take one of them out",
        ),
        (
            camera(privacy_masks=[[[0, 0], [1, 1]]]),
            "cameras.camera-1.privacy_masks.0: needs at least 3 entries",
        ),
        (
            camera(privacy_masks=[[[0, 0], [1, 1], [0, 1.5]]]),
            "cameras.camera-1.privacy_masks.0.2.1: must be at most 1",
        ),
        (
            camera(remote_analysis={"consent_date": "1 March"}),
            "cameras.camera-1.remote_analysis.consent_date: must be a date such as 2026-03-01",
        ),
        (
            camera(remote_analysis={"consent_date": "2026-02-31"}),
            "cameras.camera-1.remote_analysis.consent_date: must be a date such as 2026-03-01",
        ),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_key(content: dict[str, Any], sentence: str) -> None:
    assert refusal(content).startswith(sentence)


def test_all_faults_are_told_and_the_first_stands_for_them() -> None:
    with pytest.raises(BadConfiguration) as caught:
        config.from_mapping({"archive": {"clip_seconds": 1}, "log": {"level": "x"}, "frame": {}})
    assert str(caught.value) == "archive.clip_seconds: must be at least 5 (and 2 more)"
    assert [fault.partition(":")[0] for fault in caught.value.faults] == [
        "archive.clip_seconds",
        "log.level",
        "frame",
    ]


@pytest.mark.parametrize("seconds", [5, 600, 900])
def test_clip_seconds_goes_from_5_to_900(seconds: int) -> None:
    settings = config.from_mapping({"archive": {"clip_seconds": seconds}})
    assert settings.archive.clip_seconds == seconds


# -- the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("archive: {", "/cradle.yaml, line 1: is not valid YAML"),
        ("archive:\n  secret_key: *hush", "/cradle.yaml, line 2: is not valid YAML"),
        ("- camera", "/cradle.yaml: must hold `key: value` pairs"),
        ("cameras: []\ncameras: []\n", "/cradle.yaml, line 2: cameras stands there a second time"),
        (
            "archive:\n  bucket: abc\n  bucket: abd\n",
            "/cradle.yaml, line 3: bucket stands there a second time",
        ),
        ("archive:\n  bucket: 2026-02-31", "/cradle.yaml, line 2: there is no such date or number"),
        ("timezone: !!int hush", "/cradle.yaml, line 1: there is no such date or number"),
        ("timezone: !!float hush", "/cradle.yaml, line 1: there is no such date or number"),
        ("timezone: !!int ''", "/cradle.yaml, line 1: there is no such date or number"),
        ("timezone: !!bool hush", "/cradle.yaml, line 1: there is no such date or number"),
        ("timezone: !!timestamp hush", "/cradle.yaml, line 1: there is no such date or number"),
        ("cameras: " + 2000 * "[", "/cradle.yaml: its brackets are nested too deep"),
    ],
)
def test_a_broken_file_is_one_sentence_with_its_line(
    tmp_path: Path, text: str, sentence: str
) -> None:
    found = refusal_of_text(tmp_path, text)
    assert found.startswith(sentence)
    assert "\n" not in found
    assert "hush" not in found


def test_a_file_that_is_not_there_names_the_option(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"cannot be read .*check --config"):
        config.load(tmp_path / "nothing.yaml")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cradle.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misconfigured, match="is not a UTF-8 text file"):
        config.load(tmp_path / "cradle.yaml")


def test_what_yaml_reads_as_something_else_is_taken_as_it_was_meant(tmp_path: Path) -> None:
    file = tmp_path / "cradle.yaml"
    file.write_text(
        "archive:\n"
        "analysis: {provider: off}\n"
        "cameras:\n"
        "  - id: camera-1\n"
        "    source: test:1280x720@30\n"
        "    remote_analysis: {consent_date: 2026-03-01}\n",
        encoding="utf-8",
    )
    settings = config.load(file)
    assert settings.analysis.provider == "off"
    assert settings.archive.clip_seconds == 600
    consent = settings.cameras[0].remote_analysis
    assert consent is not None
    assert consent.consent_date == "2026-03-01"


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "cradle.yaml").touch()
    settings = config.load(tmp_path / "cradle.yaml")
    assert settings.timezone == "Asia/Seoul"
    assert settings.zone.key == "Asia/Seoul"
    assert settings.cameras == []


# -- the environment ------------------------------------------------------------------------------


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRADLE_ARCHIVE__ENDPOINT", "http://192.0.2.1:1")
    monkeypatch.setenv("cradle_timezone", "UTC")
    settings = config.from_mapping(
        {"timezone": "Asia/Tokyo", "archive": {"endpoint": "http://a:2", "bucket": "rooms"}}
    )
    assert settings.archive.endpoint == "http://192.0.2.1:1"
    assert settings.archive.bucket == "rooms"
    assert settings.timezone == "UTC"


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        (
            "CRADLE_ARCHIVE__CLIP_SECONDS",
            "hush",
            "archive.clip_seconds (environment CRADLE_ARCHIVE__CLIP_SECONDS): must be a whole",
        ),
        (
            "CRADLE_ARCHIVE__ENDPIONT",
            "hush",
            "archive.endpiont (environment CRADLE_ARCHIVE__ENDPIONT): no such key; did you mean",
        ),
        (
            "CRADLE_ARCHVIE__ENDPOINT",
            "hush",
            "environment CRADLE_ARCHVIE__ENDPOINT: there is no section archvie; did you mean",
        ),
        (
            "CRADLE_CAMERAS",
            "hush",
            "environment CRADLE_CAMERAS: whole sections and lists must be JSON",
        ),
        (
            "CRADLE_ANALYSIS__BUDGET",
            "hush",
            "environment CRADLE_ANALYSIS: whole sections and lists must be JSON",
        ),
    ],
)
def test_a_fault_from_the_environment_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, sentence: str
) -> None:
    monkeypatch.setenv(variable, value)
    found = refusal({})
    assert found.startswith(sentence)
    assert "hush" not in found


def test_other_variables_of_cradle_are_nobody_s_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRADLE_FAULT", "archiver.after-upload")
    monkeypatch.setenv("CRADLE_TEST_SERVICES", "containers")
    config.from_mapping({})


# -- secrets --------------------------------------------------------------------------------------


def test_printing_the_settings_shows_no_secret() -> None:
    settings = config.from_mapping(
        {
            "broker": {"url": "amqp://cradle:hush@host/"},
            "archive": {"secret_key": "hush"},
            "cameras": [{"id": "a", "source": "rtsp://viewer:hush@host/x?password=hush"}],
        }
    )
    shown = [settings, settings.cameras[0], settings.cameras[0].address, settings.archive]
    assert not any("hush" in repr(each) + str(each) for each in shown)


@pytest.mark.parametrize(
    "content",
    [
        {"archive": {"secret_key": ["hush"]}},
        {"archive": {"secret_key": 5, "hush": 1, "bucket": "hush!"}},
        {"broker": {"url": "http://u:hush@host/"}},
        {"broker": {"url": "amqp://u:12#hush@host/"}},
        {"broker": {"url": "amqp://u:hu/sh@host/"}},
        camera(source="ftp://u:hush@host/"),
        camera(source="rtsp://u:hush/x@host/"),
        camera(source="rtsp://u:hush#@host/"),
        camera(source="rtsp://u\u2100:hush@host/"),
        camera(source=["rtsp://u:hush@host/"]),
        camera(source="rtsp://h/", username="u", password_env="hush-hush"),
    ],
)
def test_no_refusal_shows_a_value(content: dict[str, Any]) -> None:
    """Not the sentence, and not the exceptions behind it, which a log may print."""
    with pytest.raises(Misconfigured) as caught:
        config.from_mapping(content)
    told = "".join(traceback.format_exception(caught.value, chain=True))
    told = re.sub(r"(?m)^    .*$|archive\.hush", "", told)  # source lines; the key named so
    assert "hush" not in told


def test_a_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = config.from_mapping(camera(source="rtsp://h/", username="u", password_env="A_PW"))
    monkeypatch.setenv("A_PW", "hush")
    assert settings.cameras[0].password() == "hush"


@pytest.mark.parametrize(("value", "state"), [(None, "not set"), ("", "empty")])
def test_a_password_that_is_missing_names_camera_and_variable(
    monkeypatch: pytest.MonkeyPatch, value: str | None, state: str
) -> None:
    settings = config.from_mapping(camera(source="rtsp://h/", username="u", password_env="A_PW"))
    monkeypatch.delenv("A_PW", raising=False)
    if value is not None:
        monkeypatch.setenv("A_PW", value)
    with pytest.raises(Misconfigured) as caught:
        settings.cameras[0].password()
    assert str(caught.value) == (
        f"cameras.camera-1.password_env: the environment variable A_PW is {state}; "
        "set it where Cradle is started, or take password_env out"
    )


def test_metrics_ports_differ_by_stage_unless_one_is_given() -> None:
    ports = {config.from_mapping({}).metrics.port_of(stage) for stage in Stage}
    assert len(ports) == len(Stage)
    assert config.from_mapping({"metrics": {"port": 7}}).metrics.port_of(Stage.INGEST) == 7
