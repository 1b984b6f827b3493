"""The topology on a real broker, of whatever release: `make test-services-in-containers`."""

import json
from collections.abc import Callable, Iterator
from inspect import signature
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from shared import topology
from shared.link import Link
from shared.messages import Stage
from shared.topology import ArchiveQueue, Queue
from tests.services import BrokerService

VALUES = {"camera": "camera-1", "stage": Stage.ENCODER, "replica": "1"}


@pytest.fixture(params=list(ArchiveQueue))
def every_queue(request: pytest.FixtureRequest) -> list[Queue]:
    """One of each kind: a kind added to the topology is tested without a change here."""
    values = {**VALUES, "kind": request.param}
    makers: list[Callable[..., Queue]] = [
        make
        for name, make in vars(topology).items()
        if name.endswith("_queue") and not name.startswith("_")
    ]
    made = [make(*(values[name] for name in signature(make).parameters)) for make in makers]
    return list({queue.name: queue for queue in made}.values())  # a seat may be the queue itself


@pytest.fixture
def link(broker_url: str, every_queue: list[Queue]) -> Iterator[Link]:
    with Link(SecretStr(broker_url), "test") as found:
        for queue in every_queue:
            found.declare(queue)
        yield found


def test_the_broker_holds_every_queue_exactly_as_it_was_asked(
    link: Link, broker: BrokerService, broker_url: str, every_queue: list[Queue]
) -> None:
    for queue in every_queue:  # as a second worker does
        link.declare(queue)
    virtual_host = urlsplit(broker_url).path.strip("/")
    held = {
        each["name"]: each for each in json.loads(broker.call("GET", f"/api/queues/{virtual_host}"))
    }
    assert held.keys() == {queue.name for queue in every_queue}
    for queue in every_queue:
        found = held[queue.name]
        assert found["arguments"] == dict(queue.arguments)
        assert found["durable"]
        assert not found["auto_delete"]
        assert not found["exclusive"]


def test_every_queue_is_fed_by_its_bindings(
    link: Link, broker: BrokerService, broker_url: str, every_queue: list[Queue]
) -> None:
    virtual_host = urlsplit(broker_url).path.strip("/")
    found = json.loads(broker.call("GET", f"/api/bindings/{virtual_host}"))
    assert {
        (each["source"], each["routing_key"], each["destination"])
        for each in found
        if each["source"]  # not the default exchange
    } == {(*binding, queue.name) for queue in every_queue for binding in queue.bindings}


def test_nothing_is_used_that_rabbitmq_will_take_away(link: Link, broker: BrokerService) -> None:
    if link.server_version.startswith("3."):
        pytest.skip("RabbitMQ 3 does not tell")
    assert json.loads(broker.call("GET", "/api/deprecated-features/used")) == []
