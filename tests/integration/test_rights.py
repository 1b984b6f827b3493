"""A broker with the stages' rights in force: each works with its own, and with no more."""

import secrets
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote, urlsplit

import pytest
from pydantic import SecretStr

from deploy.rights import minio
from deploy.rights.broker import RIGHTS
from deploy.rights.management import Management, apply
from deploy.rights.minio import Administrator, make_buckets
from deploy.rights.store import GRANTS
from shared.errors import Misconfigured, Unavailable
from shared.link import Link
from shared.messages import Stage
from shared.topology import (
    FRAMES,
    ArchiveQueue,
    Queue,
    analyzer_queue,
    archiver_queue,
    archiver_seat_queue,
    camera_queues,
    common_queues,
    encoder_queue,
    ingest_seat_queue,
    presence_queue,
    viewer_queue,
)
from tests.answers import answering
from tests.services import BrokerService, StoreService
from tests.support import eventually

CAMERA = "camera-1"
OWN: dict[str, tuple[Queue, ...]] = {
    Stage.INGEST: (
        *camera_queues(CAMERA, ArchiveQueue.CLASSIC),
        *common_queues(),
        ingest_seat_queue(CAMERA),
        presence_queue(Stage.INGEST),
    ),
    Stage.ENCODER: (encoder_queue(CAMERA), presence_queue(Stage.ENCODER)),
    Stage.ARCHIVER: (
        archiver_queue(CAMERA, ArchiveQueue.CLASSIC),
        archiver_seat_queue(CAMERA, ArchiveQueue.QUORUM),
        presence_queue(Stage.ARCHIVER),
    ),
    Stage.ANALYZER: (analyzer_queue(),),
    Stage.VIEWER: (viewer_queue("viewer-1"),),
}
"""What each stage declares."""


class House:
    """A virtual host with rights in force."""

    def __init__(self, broker: BrokerService, url: str) -> None:
        self._parts = urlsplit(url)
        self._passwords = {user: secrets.token_hex(8) for user in RIGHTS}
        management = Management(broker.management_url, broker.user, broker.password)
        apply(management, self._parts.path.removeprefix("/"), self._passwords)

    def link(self, user: str) -> Link:
        login = f"{user}:{quote(self._passwords[user])}"
        netloc = f"{login}@{self._parts.netloc.rpartition('@')[2]}"
        return Link(SecretStr(self._parts._replace(netloc=netloc).geturl()), f"test-{user}")


@pytest.fixture
def house(broker: BrokerService, broker_url: str) -> Iterator[House]:
    yield House(broker, broker_url)
    for user in RIGHTS:
        broker.call("DELETE", f"/api/users/{user}")


@pytest.mark.parametrize("stage", list(Stage))
def test_a_stage_makes_its_own_queues_whoever_comes_first(house: House, stage: Stage) -> None:
    with house.link(stage) as link:
        for queue in OWN[stage]:
            assert link.declare(queue).messages == 0


@pytest.mark.parametrize("stage", [stage for stage in Stage if stage is not Stage.INGEST])
def test_a_stage_makes_no_queue_of_another(house: House, stage: Stage) -> None:
    names = {queue.name for queue in OWN[stage]} | {"lost"}
    foreign = [queue for queues in OWN.values() for queue in queues if queue.name not in names]
    with house.link(stage) as link:
        for queue in foreign:
            with pytest.raises(Misconfigured, match="refuses this user"):
                link.declare(queue)


def test_a_queue_can_be_looked_at_without_any_right_to_it(house: House) -> None:
    with house.link(Stage.VIEWER) as viewer, house.link(Stage.INGEST) as ingest:
        assert viewer.look_at(archiver_queue(CAMERA, ArchiveQueue.CLASSIC)) is None
        for queue in OWN[Stage.INGEST]:
            ingest.declare(queue)
        found = viewer.look_at(archiver_queue(CAMERA, ArchiveQueue.CLASSIC))
        assert found is not None
        assert found.consumers == 0


def test_who_speaks_for_another_stage_is_cut_off(house: House) -> None:
    with house.link(Stage.ENCODER) as encoder:
        encoder.publish(FRAMES, f"fragment.{CAMERA}", b"{}")
        eventually(lambda: _is_lost(encoder), 10)


def _is_lost(link: Link) -> bool:
    try:
        link.check()
    except Unavailable:
        return True
    return False


def test_the_buckets_are_made_and_those_that_are_there_are_left_alone(
    store_service: StoreService,
) -> None:
    who = Administrator(store_service.endpoint, store_service.access_key, store_service.secret_key)
    for _ in range(2):
        make_buckets(who)
    with pytest.raises(Misconfigured):
        make_buckets(replace(who, secret="another"))


@pytest.mark.parametrize(("status", "error"), [(403, Misconfigured), (503, Unavailable)])
def test_a_store_that_refuses_the_administrator_is_told_from_one_that_is_unwell(
    status: int, error: type[Exception]
) -> None:
    with answering(status) as endpoint, pytest.raises(error, match=str(status)):
        minio.apply(Administrator(endpoint, "administrator", "secret"), dict.fromkeys(GRANTS, "s"))
