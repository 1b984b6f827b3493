"""On a real broker: each stage's user may do all that its stage does, and nothing of another's."""

from collections.abc import Callable, Iterator
from urllib.parse import quote, urlsplit

import pytest
from pydantic import SecretStr

from deploy.k8s.credentials import definitions
from shared.errors import CradleError, Misconfigured
from shared.link import Link
from shared.messages import Stage
from shared.topology import (
    EVENTS,
    FRAMES,
    LOST,
    ArchiveQueue,
    Queue,
    analyzer_queue,
    archiver_queue,
    archiver_seat_queue,
    camera_queues,
    common_queues,
    encoder_queue,
    ingest_seat_queue,
    lost_queue,
    presence_queue,
    viewer_queue,
)
from tests.services import BrokerService

CAMERA = "camera-1"
ARCHIVE = archiver_queue(CAMERA, ArchiveQueue.QUORUM)  # as production has it
ARCHIVE_SEAT = archiver_seat_queue(CAMERA, ArchiveQueue.QUORUM)
DECLARED: dict[Stage, list[Queue]] = {
    Stage.INGEST: [
        *camera_queues(CAMERA, ArchiveQueue.QUORUM),
        *common_queues(),
        ingest_seat_queue(CAMERA),
        presence_queue(Stage.INGEST),
    ],
    Stage.ENCODER: [encoder_queue(CAMERA), presence_queue(Stage.ENCODER)],
    Stage.ARCHIVER: [ARCHIVE_SEAT, ARCHIVE, presence_queue(Stage.ARCHIVER)],
    Stage.ANALYZER: [analyzer_queue()],
    Stage.VIEWER: [
        viewer_queue("viewer-1"),
        analyzer_queue(),
        lost_queue(),
        *(presence_queue(stage) for stage in (Stage.INGEST, Stage.ENCODER, Stage.ARCHIVER)),
        ingest_seat_queue(CAMERA),
        encoder_queue(CAMERA),
        ARCHIVE,
        ARCHIVE_SEAT,
    ],
}
CONSUMED: dict[Stage, list[str]] = {
    Stage.INGEST: [f"seat.ingest.{CAMERA}", f"stored.{CAMERA}", "presence.ingest"],
    Stage.ENCODER: [f"encoder.{CAMERA}", "presence.encoder"],
    Stage.ARCHIVER: [f"archiver.{CAMERA}", f"seat.archiver.{CAMERA}", "presence.archiver"],
    Stage.ANALYZER: ["analyzer"],
    Stage.VIEWER: ["viewer.viewer-1"],
}


@pytest.fixture(scope="module")
def link_of(broker: BrokerService) -> Iterator[Callable[[Stage], Link]]:
    """A link of a stage's own user, with the rights that it gets in Kubernetes."""
    links: list[Link] = []
    with broker.virtual_host() as url:
        host = urlsplit(url).path.strip("/")
        passwords = {stage: f"password of {stage}" for stage in Stage}
        for user in definitions(passwords, "none")["users"]:
            if user["name"] != "admin":
                broker.call("PUT", f"/api/users/{user['name']}", {**user, "tags": ""})
        for right in definitions(passwords, "none")["permissions"]:
            if right["user"] != "admin":
                path = f"/api/permissions/{host}/{right['user']}"
                broker.call(
                    "PUT", path, {key: right[key] for key in ("configure", "write", "read")}
                )

        for right in definitions(passwords, "none")["topic_permissions"]:
            path = f"/api/topic-permissions/{host}/{right['user']}"
            broker.call("PUT", path, {key: right[key] for key in ("exchange", "write", "read")})

        def open_link(stage: Stage) -> Link:
            login = f"{stage}:{quote(passwords[stage])}"
            link = Link(SecretStr(f"amqp://{login}@{broker.address}/{host}"), f"test-{stage}")
            link.open()
            links.append(link)
            return link

        yield open_link
        for link in links:
            link.close()
        for stage in Stage:
            broker.call("DELETE", f"/api/users/{stage}")


def consume(link: Link, queue: Queue) -> None:
    """Begin, and end at once."""
    link.consume(
        queue,
        prefetch=1,
        exclusive=False,
        on_delivery=lambda delivery: delivery.ack(),
        on_closed=lambda _reason: None,
    ).close()


@pytest.mark.parametrize("stage", list(Stage))
def test_a_stage_may_declare_what_it_needs_and_consume_what_is_its_own(
    link_of: Callable[[Stage], Link], stage: Stage
) -> None:
    link = link_of(stage)
    for queue in DECLARED[stage]:
        link.declare(queue)
    for queue in DECLARED[stage]:
        if queue.name in CONSUMED[stage]:
            consume(link, queue)


@pytest.mark.parametrize("stage", list(Stage))
def test_a_stage_may_consume_nothing_of_another_stage(
    link_of: Callable[[Stage], Link], stage: Stage
) -> None:
    others = {
        queue.name: queue
        for other in Stage
        for queue in DECLARED[other]
        if queue.name not in CONSUMED[stage]
    }
    if stage in {Stage.INGEST, Stage.VIEWER}:
        # To declare it, with its dead-letter exchange, takes the right to read it.
        del others[f"archiver.{CAMERA}"]
    link = link_of(stage)
    for queue in others.values():
        with pytest.raises(Misconfigured):
            consume(link, queue)


PUBLISHES = {
    Stage.INGEST: {FRAMES, EVENTS, LOST},
    Stage.VIEWER: {EVENTS, LOST},
    **{stage: {EVENTS, LOST} for stage in (Stage.ENCODER, Stage.ARCHIVER, Stage.ANALYZER)},
}


@pytest.mark.parametrize("stage", list(Stage))
@pytest.mark.parametrize("exchange", [FRAMES, EVENTS, LOST])
def test_a_stage_may_publish_its_own_words_only(
    link_of: Callable[[Stage], Link], stage: Stage, exchange: str
) -> None:
    link = link_of(stage)
    if exchange in PUBLISHES[stage]:
        link.publish_and_wait(exchange, f"{stage}.any.key", b"{}", headers={})
    else:
        with pytest.raises(CradleError):
            link.publish_and_wait(exchange, "any.key", b"{}", headers={})


def test_the_page_speaks_in_no_other_stage_s_name(link_of: Callable[[Stage], Link]) -> None:
    with pytest.raises(CradleError):
        link_of(Stage.VIEWER).publish_and_wait(EVENTS, f"archiver.{CAMERA}.stored", b"{}")
