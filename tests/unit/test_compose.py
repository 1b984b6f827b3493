"""deploy/compose keeps its rules: valid, nothing open, nothing as root, no secret, in order."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from compose_spec import PyCompose

from deploy.command.connections import CONFIG_VARIABLE
from shared.config import CameraSettings, Settings, load
from shared.messages import Stage
from tests.readme import commands
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
            if variable.startswith("CRADLE_") and variable != CONFIG_VARIABLE:
                model: Any = Settings
                for part in variable.removeprefix("CRADLE_").lower().split("__"):
                    assert part in model.model_fields, variable
                    model = model.model_fields[part].annotation


@pytest.mark.parametrize(
    "words",
    [["user", "hash", "--password-stdin"], ["user", "list"], ["check", "--json"], ["--help"]],
)
def test_commands_are_run_as_a_person_types_them(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The container's entry point, with its configuration and words behind `run --rm cradle`."""
    service = services()["cradle"]
    *init, program = service["entrypoint"]
    assert init == ["tini", "--"]
    file = tmp_path / "cradle.yaml"
    assert service["environment"][CONFIG_VARIABLE] == "/etc/cradle/cradle.yaml"
    file.write_text(f"viewer: {{url: '{(tmp_path / 'viewer').as_uri()}'}}\nno-such-key: 1\n")
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *words],
        env={**os.environ, CONFIG_VARIABLE: str(file)},
        input="a long enough password\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    is_read = words[-1] in {"list", "--json"}
    assert done.returncode == (2 if is_read else 0), done.stderr
    assert ("no-such-key" in done.stdout + done.stderr) == is_read


@pytest.mark.parametrize("file", ["compose.yaml", "compose.s3.yaml"])
def test_a_command_has_room_for_a_whole_clip(file: str) -> None:
    """`verify` fetches each into a passing file; the tmpfs is too small for any of ten minutes."""
    place = services()["cradle"]["environment"]["TMPDIR"]
    assert place in services(file)["cradle"]["volumes"], "a volume that goes with the container"


def test_grafana_writes_no_log_file() -> None:
    """Its system is read-only, and its commands (`grafana cli`) log to a file unless told."""
    assert services()["grafana"]["environment"]["GF_LOG_MODE"] == "console"


def test_the_compose_that_is_wanted_knows_every_tag() -> None:
    """`!override` is of 2.24.4 (github.com/compose-spec/compose-go/pull/552)."""
    assert any("!override" in (FOLDER / file).read_text() for file in FILES)
    text = (FOLDER / "README.md").read_text()
    [wanted] = re.findall(r"compose (\d[\d.]*\d) or newer", text)
    assert tuple(map(int, wanted.split("."))) >= (2, 24, 4)


def test_what_a_collector_wants_to_see_reaches_the_stages_that_trace() -> None:
    given = {
        name
        for name, service in services().items()
        if "OTEL_EXPORTER_OTLP_HEADERS" in (service.get("environment") or {})
    }
    assert given == {"ingest", "encoder", "archiver", "analyzer"}


# -- the README -----------------------------------------------------------------------------------

DOCKER: Final = """#!/bin/sh
# Stands in for docker: notes the command; a volume is a folder, and the image's tar is this host's.
set -eu
echo "$*" >>"$NOTES"
case "$1 $2" in
    "volume inspect") [ -d "$VOLUMES/$3" ] ;;
    "compose down") rm -rf "$VOLUMES" ;;
    "compose create") for volume in $PROJECT_VOLUMES; do mkdir -p "$VOLUMES/cradle_$volume"; done ;;
    "run "*)
        while [ "$1" != cradle ]; do
            case $1 in cradle_*) volume=${1%%:*} ;; esac
            shift
        done
        mkdir -p "$VOLUMES/$volume"
        [ "$2 $3" = "-C /from" ] || [ "$2 $3" = "-C /to" ]
        shift 3
        exec tar -C "$VOLUMES/$volume" "$@"
        ;;
esac
"""


@dataclass
class Host:
    """A folder as deploy/compose, prepared, on a machine with a docker that is not there."""

    folder: Path
    volumes: tuple[str, ...]
    """That the project has, by their names in compose.yaml."""

    def __post_init__(self) -> None:
        self.compose = self.folder / "compose"
        self.backup = self.folder / "backup"
        (self.compose / "private").mkdir(parents=True)
        (self.compose / ".env").write_text("SECRET=1")
        (self.compose / "private" / "cradle.yaml").write_text("cameras: []")
        for volume in self.volumes:
            (self.volume(volume) / "a" / "b").mkdir(parents=True)
            (self.volume(volume) / "a" / "b" / ".data").write_text(f"of {volume}")
        (self.folder / "bin").mkdir()
        docker = self.folder / "bin" / "docker"
        docker.write_text(DOCKER)
        docker.chmod(0o755)

    def volume(self, name: str) -> Path:
        return self.folder / "volumes" / f"cradle_{name}"

    def does(self, script: str) -> str:
        """What is printed."""
        assert "BACKUP=/srv/cradle-backup" in script
        done = subprocess.run(
            ["sh", "-c", script.replace("/srv/cradle-backup", str(self.backup))],
            cwd=self.compose,
            env={
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "NOTES": str(self.folder / "notes"),
                "VOLUMES": str(self.folder / "volumes"),
                "PROJECT_VOLUMES": " ".join(self.volumes),
            },
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return done.stdout + done.stderr

    def notes(self) -> list[str]:
        """The commands that docker was given."""
        return (self.folder / "notes").read_text().splitlines()

    def content(self) -> dict[str, str]:
        """Of the volumes and of what `prepare` made."""
        files = [*(self.folder / "volumes").rglob("*"), *self.compose.rglob("*")]
        return {
            str(file.relative_to(self.folder)): file.read_text() for file in files if file.is_file()
        }


@pytest.mark.parametrize(
    "volumes",
    [("store", "viewer", "frames", "spool", "live"), ("store", "viewer", "spool")],
    ids=["folders", "buckets"],
)
def test_the_commands_of_the_readme_back_up_and_restore(
    tmp_path: Path, volumes: tuple[str, ...]
) -> None:
    backup, restore = commands(FOLDER / "README.md", "Backup and restore")
    host = Host(tmp_path, volumes)
    before = host.content()
    assert host.does(backup) == ""
    assert host.content() == before, "nothing is added, least of all to the repository"
    assert host.notes()[0] == "compose stop", "what is saved does not change meanwhile"
    assert host.notes()[-1] == "compose up --detach"
    saved = {*volumes} - {"live"}
    assert {path.stem for path in host.backup.glob("*.tar")} == saved
    assert stat.S_IMODE(host.backup.stat().st_mode) == 0o700
    shutil.rmtree(host.compose / "private")
    (host.compose / ".env").unlink()
    (host.folder / "notes").unlink()
    assert host.does(restore) == ""
    assert host.content() == {key: text for key, text in before.items() if "_live" not in key}
    told = [line for line in host.notes() if line.startswith("compose")]
    assert [line.split()[1] for line in told] == ["down", "create", "up", "run"]


def test_what_a_backup_saves_are_volumes_of_compose() -> None:
    scripts = commands(FOLDER / "README.md", "Backup and restore")
    [saved] = {tuple(*re.findall(r"for volume in (.*); do", script)) for script in scripts}
    assert {*"".join(saved).split()} <= set(read("compose.yaml")["volumes"])


def test_every_service_that_the_readme_names_is_there() -> None:
    known = {name for file in FILES for name in services(file)}
    for line in re.findall(r"docker compose [^`\n#]*", (FOLDER / "README.md").read_text()):
        verb, *words = line.removeprefix("docker compose ").split()
        if verb not in {"up", "create", "restart", "run", "exec"}:
            continue
        named = [word for word in words if not word.startswith("-") and "=" not in word]
        chosen = named[:1] if verb in {"run", "exec"} else named
        assert set(chosen) <= known, line


def test_a_changed_camera_reaches_all_stages_with_its_password() -> None:
    """`restart` keeps a container's environment, and `up` alone does not see a changed file."""
    text = (FOLDER / "README.md").read_text()
    [line] = re.findall(r"docker compose up .*--force-recreate.*", text)
    assert set(STAGES) <= set(line.split())
    for other in re.findall(r"docker compose restart ([^`\n#]*)", text):
        assert not set(STAGES) & set(other.split()), other


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
    texts = [(FOLDER / file).read_text() for file in FILES]
    asked = {name for text in texts for name in re.findall(r"\$\{([A-Z_]+):\?", text)}
    used = {name for text in texts for name in re.findall(r"\$\{([A-Z_]+)", text)}
    assert asked <= set(secrets_in(prepared)) <= used | {"COMPOSE_FILE"}


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


PLAIN: Final = "rtsp://192.0.2.10:554/stream1?channel=1&subtype=0"


def camera_of(folder: Path) -> CameraSettings:
    [camera] = load(folder / "private/cradle.yaml").cameras
    return camera


def passwords_in(folder: Path) -> dict[str, str]:
    """As Docker reads the file: what stands in single quotes is taken as it is."""
    lines = (folder / "private/cameras.env").read_text().splitlines()
    pairs = (line.split("=", 1) for line in lines if not line.startswith("#"))
    return {name: value.removeprefix("'").removesuffix("'") for name, value in pairs}


@pytest.mark.parametrize("address", [PLAIN, "rtsp://viewer@192.0.2.10/1", "test:1280x720@30"])
def test_the_camera_that_is_named_is_the_one_configured(prepared: Path, address: str) -> None:
    assert prepare(prepared, address).returncode == 0
    camera = camera_of(prepared)
    assert camera.source.get_secret_value() == address
    assert camera.password_env is None
    assert passwords_in(prepared) == {}


@pytest.mark.parametrize(
    ("login", "user", "password"),
    [
        ("user:p%40ss", "user", "p@ss"),
        ("o%27neil:a%22%24b%20%23c:d%EB%B9%84", "o'neil", 'a"$b #c:d비'),
        ("user:100%25", "user", "100%"),
    ],
)
def test_a_cameras_password_is_kept_where_only_ingest_gets_it(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, login: str, user: str, password: str
) -> None:
    assert prepare(prepared, PLAIN.replace("//", f"//{login}@")).returncode == 0
    camera = camera_of(prepared)
    assert camera.source.get_secret_value() == PLAIN
    assert camera.username == user
    assert passwords_in(prepared) == {camera.password_env: password}
    for name, value in passwords_in(prepared).items():
        monkeypatch.setenv(name, value)
    opened = urlsplit(camera.address.with_credentials(camera.username, camera.password()))
    assert unquote(opened.username or "") == user
    assert unquote(opened.password or "") == password
    assert stat.S_IMODE((prepared / "private/cameras.env").stat().st_mode) == 0o600


@pytest.mark.parametrize("file", FILES)
def test_only_ingest_and_the_commands_get_the_cameras_passwords(file: str) -> None:
    given = {name for name, service in services(file).items() if "env_file" in service}
    assert given == ({"ingest", "cradle"} if file == "compose.yaml" else set())


@pytest.mark.parametrize(
    "address",
    [
        "room.mp4",
        'rtsp://a"b',
        "rtsp://a\\b",
        "rtsp://a\nb: c",
        "rtsp://user:pa/ss@192.0.2.10/1",
        "rtsp://user:it%27s@192.0.2.10/1",
        "rtsp://user:a%5Cb@192.0.2.10/1",
        "rtsp://user:a%0Ab@192.0.2.10/1",
    ],
)
def test_an_address_that_cannot_be_written_is_refused(prepared: Path, address: str) -> None:
    refused = prepare(prepared, address)
    assert refused.returncode == 2
    assert refused.stderr.startswith("prepare: ")
    assert address not in refused.stderr
    assert not (prepared / ".env").exists()
    assert not (prepared / "private").exists()


def test_the_link_that_is_printed_makes_the_first_user(prepared: Path) -> None:
    said = prepare(prepared).stdout
    assert f":8080/setup#{secrets_in(prepared)['VIEWER_SETUP_TOKEN']}" in said


def test_neither_a_prepared_file_nor_a_backup_is_in_the_repository() -> None:
    files = [".env", "private/cradle.yaml", "private/cameras.env", "store.tar"]
    ignored = subprocess.run(
        ["git", "check-ignore", *(f"deploy/compose/{file}" for file in files)],
        cwd=FOLDER.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if ignored.returncode == 128:
        pytest.skip("not a git checkout")
    assert len(ignored.stdout.split()) == len(files)


def test_the_build_sees_no_secret_and_no_backup() -> None:
    lines = (FOLDER.parents[1] / ".dockerignore").read_text().splitlines()
    assert lines.index("*") < lines.index("!deploy") < lines.index("deploy/compose")


def test_prepare_is_a_program() -> None:
    assert os.access(FOLDER / "prepare", os.X_OK)
