"""deploy/compose keeps its rules: valid, nothing open, nothing as root, no secret, in order."""

import json
import os
import re
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from compose_spec import PyCompose

from shared.config import Settings, load
from shared.messages import Stage
from tests.stops import SPARE_SECONDS, STOPS

FOLDER: Final = Path(__file__).parents[2] / "deploy" / "compose"
FILES: Final = sorted(path.name for path in FOLDER.glob("compose*.yaml"))
STAGES: Final = [stage.value for stage in Stage]
HARDENED: Final = {
    "read_only": True,
    "cap_drop": ["ALL"],
    "security_opt": ["no-new-privileges:true"],
}


class _Loader(yaml.SafeLoader):
    """Knows compose's own tags, which say how files are laid over each other."""


def _override(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    assert isinstance(node, yaml.SequenceNode)
    return loader.construct_sequence(node, deep=True)


_GONE: Final = object()
_Loader.add_constructor("!override", _override)
_Loader.add_constructor("!reset", lambda *_: _GONE)


def _left(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _left(each) for key, each in value.items() if each is not _GONE}
    return value


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = _left(yaml.load((FOLDER / name).read_text(), _Loader))
    return content


def services(name: str = "compose.yaml") -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(name)["services"]
    return found


def of_its_own(name: str) -> dict[str, dict[str, Any]]:
    """The services that a file adds."""
    known = set() if name == "compose.yaml" else set(services())
    return {key: value for key, value in services(name).items() if key not in known}


EVERY: Final = [
    pytest.param(service, id=f"{file}:{name}")
    for file in FILES
    for name, service in of_its_own(file).items()
]


@pytest.mark.parametrize("name", FILES)
def test_the_file_is_valid(name: str) -> None:
    text = re.sub(r"\$\{[A-Z_]+:\?[^}]*\}", "given", json.dumps(read(name)))
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", text)
    PyCompose.from_json(text)  # raises ValueError


@pytest.mark.parametrize("service", EVERY)
def test_a_service_gets_nothing_that_it_does_not_need(service: Mapping[str, Any]) -> None:
    assert {key: service.get(key) for key in HARDENED} == HARDENED
    assert "cap_add" not in service
    assert "privileged" not in service
    user, _, group = str(service["user"]).partition(":")
    assert int(user) > 0
    assert int(group) > 0


@pytest.mark.parametrize("service", EVERY)
def test_a_service_cannot_fill_the_disk_with_its_log(service: Mapping[str, Any]) -> None:
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("service", EVERY)
def test_a_service_comes_back_or_runs_once(service: Mapping[str, Any]) -> None:
    assert service["restart"] in {"unless-stopped", "no"}


@pytest.mark.parametrize("file", FILES)
def test_only_the_page_is_published_beyond_loopback(file: str) -> None:
    for name, service in services(file).items():
        for port in service.get("ports") or ():
            if name == "viewer":
                assert port == "${VIEWER_ADDRESS:-0.0.0.0}:${VIEWER_PORT:-8080}:8080"
            else:
                assert port.startswith("127.0.0.1:"), (name, port)


@pytest.mark.parametrize("file", FILES)
def test_no_secret_stands_in_a_file(file: str) -> None:
    for name, service in services(file).items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search(r"PASS|SECRET|TOKEN|API_KEY", variable):
                assert re.fullmatch(r"\$\{[A-Z_]+:[?-][^}]*\}", str(value)), (name, variable)
            assert not re.search(r"://[^$/]*:[^$@/]+@", str(value)), (name, variable)


def test_every_stage_has_a_login_of_its_own() -> None:
    for stage in STAGES:
        given = services()[stage]["environment"]
        password = f"${{BROKER_{stage.upper()}_PASSWORD:?}}"
        assert given["CRADLE_BROKER__URL"] == f"amqp://{stage}:{password}@rabbitmq:5672/"
        assert given["CRADLE_ARCHIVE__ACCESS_KEY"] == stage
        assert given["CRADLE_ARCHIVE__SECRET_KEY"] == f"${{STORE_{stage.upper()}_SECRET:?}}"


def test_stages_start_when_what_they_stand_on_is_well_and_knows_them() -> None:
    for stage in STAGES:
        conditions = {
            name: rule["condition"] for name, rule in services()[stage]["depends_on"].items()
        }
        assert conditions == {
            "rabbitmq": "service_healthy",
            "store": "service_healthy",
            "broker-setup": "service_completed_successfully",
            "store-setup": "service_completed_successfully",
        }


def test_replicas_are_possible() -> None:
    for name in ("ingest", "encoder", "archiver", "analyzer"):
        assert not {"container_name", "ports", "hostname"} & set(services()[name]), name


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("stage", list(Stage))
def test_a_stage_is_given_the_time_that_its_end_takes(stage: Stage, file: str) -> None:
    laid_over = {**services()[stage], **services(file).get(stage, {})}
    grace = float(laid_over["stop_grace_period"].removesuffix("s"))
    assert grace >= STOPS[stage] + SPARE_SECONDS


def test_only_ingest_can_write_frames_and_only_the_encoder_live() -> None:
    for stage in STAGES:
        mounts = [each for each in services()[stage]["volumes"] if isinstance(each, str)]
        for volume, writer in (("frames", "ingest"), ("live", "encoder")):
            found = [each for each in mounts if each.startswith(f"{volume}:")]
            assert all(each.endswith(":ro") == (stage != writer) for each in found), (stage, found)


def test_stages_with_buckets_share_no_volume() -> None:
    shared: dict[str, str] = {}
    for stage in STAGES:
        for mount in services("compose.s3.yaml")[stage]["volumes"]:
            volume = mount.partition(":")[0]
            assert volume.startswith("./private") or shared.setdefault(volume, stage) == stage


@pytest.mark.parametrize("file", FILES)
def test_every_setting_is_one_that_cradle_knows(file: str) -> None:
    for service in services(file).values():
        for variable in service.get("environment") or {}:
            if variable.startswith("CRADLE_"):
                model: Any = Settings
                for part in variable.removeprefix("CRADLE_").lower().split("__"):
                    assert part in model.model_fields, variable
                    model = model.model_fields[part].annotation


# -- prepare --------------------------------------------------------------------------------------


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A folder as deploy/compose, before anything was prepared."""
    (tmp_path / "prepare").write_text((FOLDER / "prepare").read_text())
    (tmp_path / "prepare").chmod(0o755)
    return tmp_path


def prepare(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["./prepare", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=False
    )


def secrets_in(folder: Path) -> dict[str, str]:
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def test_all_that_compose_asks_for_is_prepared(prepared: Path) -> None:
    assert prepare(prepared).returncode == 0
    asked = {
        name
        for file in FILES
        for name in re.findall(r"\$\{([A-Z_]+):\?", (FOLDER / file).read_text())
    }
    assert asked <= set(secrets_in(prepared))


def test_secrets_are_long_differ_and_are_their_owners_alone(prepared: Path) -> None:
    prepare(prepared)
    values = [
        value
        for name, value in secrets_in(prepared).items()
        if re.search("PASSWORD|SECRET|TOKEN", name)
    ]
    assert min(len(value) for value in values) >= 32
    assert len(set(values)) == len(values)
    assert stat.S_IMODE((prepared / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE((prepared / "private").stat().st_mode) == 0o700


def test_what_is_prepared_is_not_prepared_again(prepared: Path) -> None:
    prepare(prepared)
    before = secrets_in(prepared)
    prepare(prepared, "rtsp://192.0.2.10/stream1")
    assert secrets_in(prepared) == before
    assert "test:" in (prepared / "private/cradle.yaml").read_text()


def test_the_camera_that_is_named_is_the_one_configured(prepared: Path) -> None:
    address = "rtsp://user:p%40ss@192.0.2.10:554/stream1?channel=1&subtype=0"
    assert prepare(prepared, address).returncode == 0
    [camera] = load(prepared / "private/cradle.yaml").cameras
    assert camera.source.get_secret_value() == address


@pytest.mark.parametrize("address", ["room.mp4", 'rtsp://a"b', "rtsp://a\\b", "rtsp://a\nb: c"])
def test_an_address_that_cannot_be_written_is_refused(prepared: Path, address: str) -> None:
    assert prepare(prepared, address).returncode == 2
    assert not (prepared / ".env").exists()


def test_the_link_that_is_printed_makes_the_first_user(prepared: Path) -> None:
    said = prepare(prepared).stdout
    assert f":8080/setup#{secrets_in(prepared)['VIEWER_SETUP_TOKEN']}" in said


def test_no_prepared_file_is_in_the_repository() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "deploy/compose/.env", "deploy/compose/private/cradle.yaml"],
        cwd=FOLDER.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert len(ignored.stdout.split()) == 2


def test_the_build_sees_no_secret() -> None:
    lines = (FOLDER.parents[1] / ".dockerignore").read_text().splitlines()
    assert lines.index("*") < lines.index("!deploy")
    assert {"deploy/compose/.env*", "deploy/compose/private"} <= set(lines)


def test_prepare_is_a_program() -> None:
    assert os.access(FOLDER / "prepare", os.X_OK)
