"""The stages' rights in a store that keeps them: what each asks of it at its start is allowed.

SeaweedFS reads the file of identities that compose gives it. What each stage must not do is tried
in containers (`tests/containers/test_rights.py`).
"""

import os
import secrets
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.command.check_services import check_frames, check_live, check_store
from deploy.local.ports import LOOPBACK, free_ports
from deploy.local.store import PORTS, find_weed
from deploy.rights.minio import Administrator, make_buckets
from deploy.rights.seaweedfs import identities
from deploy.rights.store import ARCHIVE, BUCKETS, FRAMES, GRANTS, LIVE, OPERATOR
from shared.bucketplace import BucketPlace
from shared.config import ArchiveSettings
from shared.errors import CradleError, Misconfigured
from shared.messages import Stage
from tests.support import eventually

START_SECONDS = 60
User = Callable[[str], ArchiveSettings]


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """Gives the settings of one who may log in, in a store with all its buckets."""
    folder = tmp_path_factory.mktemp("rights")
    passwords = {str(name): secrets.token_hex(20) for name in GRANTS}
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    administrator = Administrator(
        f"http://{LOOPBACK}:{ports['s3']}", "administrator", secrets.token_hex(20)
    )
    (folder / "identities.json").write_text(identities(administrator, passwords))
    command = [
        *(find_weed(), "-logtostderr=true", "mini", f"-dir={folder}"),
        *(f"-ip={LOOPBACK}", f"-ip.bind={LOOPBACK}", "-master.telemetry=false", "-webdav=false"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false", "-s3.autoCreateBucket=false"),
        *(f"-s3.config={folder / 'identities.json'}", f"-s3.localSocket={folder / 's3.sock'}"),
        *(f"-{PORTS[name]}={port}" for name, port in ports.items()),
    ]
    environment = {**os.environ, "HOME": str(folder), "GOMEMLIMIT": "400MiB"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        eventually(partial(_makes_buckets, administrator), START_SECONDS, "the store is ready")
        yield lambda name: ArchiveSettings(
            endpoint=administrator.endpoint,
            access_key=name,
            secret_key=SecretStr(passwords[name]),
            bucket=BUCKETS[ARCHIVE],
        )
    finally:
        server.terminate()
        server.wait(20)
        for port in ports.values():  # its parts talk through sockets there, and leave them
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)


def _makes_buckets(administrator: Administrator) -> bool:
    with suppress(CradleError):
        make_buckets(administrator)
        return True
    return False


def place(purpose: str) -> BucketPlace:
    return BucketPlace(BUCKETS[purpose], "")


def test_an_operators_check_finds_the_store_in_order(user: User) -> None:
    who = user(OPERATOR)
    assert check_store(who).state == "ok"
    assert check_frames(who, place(FRAMES)).state == "ok"
    assert check_live(who, place(LIVE)).state == "ok"


def test_a_stage_may_do_what_it_asks_of_the_store_at_its_start(user: User) -> None:
    for stage in (Stage.ARCHIVER, Stage.ANALYZER):
        assert check_store(user(stage)).state == "ok"
    assert check_live(user(Stage.ENCODER), place(LIVE)).state == "ok"


@pytest.mark.parametrize("stage", [Stage.INGEST, Stage.VIEWER])
def test_who_writes_nothing_live_may_not_try_either(user: User, stage: Stage) -> None:
    with pytest.raises(Misconfigured):
        check_live(user(stage), place(LIVE))
