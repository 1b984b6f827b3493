"""The analyzer as it runs: real broker, object store and library; Google is played locally."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import yaml
from pydantic import SecretStr

from analyzer.worker import AnalyzerWorker
from shared.analysis import Result, read_result
from shared.clock import SystemClock
from shared.config import ArchiveSettings, from_mapping
from shared.errors import Misconfigured, QueueAway, StoreUnavailable
from shared.health import Health
from shared.identity import new_epoch
from shared.link import Link, QueueState
from shared.messages import Event, Sample, read_event
from shared.objectstore import ObjectStore
from shared.topology import EVENTS, FRAMES, Queue, analyzer_queue, lost_queue, sample_key
from shared.worker import WorkerContext, run
from tests import gemini_server as google
from tests.analyzer_samples import CAMERA, key_frame, put_fragment, room
from tests.gemini_server import GeminiServer
from tests.services import BrokerService
from tests.support import eventually

EVENTS_OF_TEST = Queue(
    "test.analyzer.events", {"x-queue-type": "classic"}, ((EVENTS, "analyzer.#"),)
)

SECONDS = 60.0
"""Long enough for a busy machine."""


class House:
    """Everything around the analyzers: frame store, broker, object store, Google."""

    def __init__(
        self, root: Path, broker: SecretStr, archive: ArchiveSettings, gemini: GeminiServer
    ) -> None:
        self.root = root
        self.gemini = gemini
        self.store = ObjectStore(archive)
        self.link = Link(broker, "test")
        self._samples = 0
        self.config: dict[str, Any] = {
            "broker": {"url": broker.get_secret_value()},
            "frames": {"url": f"file://{root}/frames"},
            "archive": {
                **archive.model_dump(mode="json"),
                "secret_key": archive.secret_key.get_secret_value(),
            },
            "metrics": {"port": 0},
            "analysis": {
                "provider": "gemini",
                "language": "en",
                "slots": 2,
                "gemini": {
                    "endpoint": gemini.url,
                    "paid_tier_confirmed": True,
                },
            },
            "cameras": [
                {
                    "id": CAMERA,
                    "source": "test:",
                    "remote_analysis": {"consent_date": "2026-01-01"},
                }
            ],
        }

    def open(self) -> None:
        self.link.open()
        for queue in (analyzer_queue(), lost_queue(), EVENTS_OF_TEST):
            self.link.declare(queue)

    def context(self, name: str) -> WorkerContext:
        clock = SystemClock()
        log: Any = structlog.get_logger()
        return WorkerContext(from_mapping(self.config), name, clock, log, Health(clock))

    @contextmanager
    def running(self, name: str = "analyzer-1") -> Iterator[None]:
        """A worker and its retry loop in a thread."""
        context, stop = self.context(name), threading.Event()
        thread = threading.Thread(target=run, args=(AnalyzerWorker(context), context, stop))
        thread.start()
        try:
            eventually(lambda: self.link.declare(analyzer_queue()).consumers > 0, SECONDS)
            yield
        finally:
            stop.set()
            thread.join(SECONDS)
            assert not thread.is_alive()

    def send_sample(self) -> Sample:
        """A fresh sample in which something moved, captured a second ago."""
        self._samples += 1
        moment = datetime.now(UTC) - timedelta(seconds=1)
        epoch = new_epoch(moment)
        pictures = [
            put_fragment(
                self.root / "frames", number, key_frame(room(ball_at=(x, 300))), 0, epoch=epoch
            ).model_copy(update={"captured_at": moment})
            for number, x in enumerate((100, 500))
        ]
        sample = Sample(
            schema=1,
            camera=CAMERA,
            starts_at=moment,
            ends_at=moment,
            pictures=pictures,
            previous=None,
            heartbeat=False,
        )
        self.send(sample.to_body())
        return sample

    def send(self, body: bytes) -> None:
        self.link.publish_and_wait(FRAMES, sample_key(CAMERA), body)

    def results(self) -> list[Result]:
        keys = [each.key for each in self.store.list("analysis/") if each.key.endswith(".json")]
        return [read_result(self.store.read(key) or b"") for key in keys]

    def has_results(self, expected: int) -> bool:
        return len(self.results()) == expected

    def events(self, name: str) -> list[Event]:
        """What was announced since the last call."""
        found: list[Event] = []
        while (delivery := self.link.get(EVENTS_OF_TEST)) is not None:
            delivery.ack()
            found.append(read_event(delivery.body))
        return [event for event in found if event.event == name]

    def wait_for_event(self, name: str) -> Event:
        """The first such announcement that is still to come or not yet read."""
        return eventually(lambda: self.events(name), SECONDS)[0]


@pytest.fixture
def house(
    tmp_path: Path,
    broker_url: str,
    archive_settings: ArchiveSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[House]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-the-test-key")
    with GeminiServer() as gemini:
        house = House(tmp_path, SecretStr(broker_url), archive_settings, gemini)
        house.open()
        yield house
        house.link.close()


@pytest.mark.parametrize("sdk", ["google-genai", "google-generativeai"])
def test_a_sample_becomes_a_stored_and_announced_result(house: House, sdk: str) -> None:
    house.config["analysis"]["gemini"]["sdk"] = sdk
    with house.running():
        house.send_sample()
        eventually(lambda: len(house.results()) == 1, SECONDS)
        (result,) = house.results()
        assert result.judged_by == "gemini"
        assert result.observation.activity == "playing"
        assert result.remote is not None
        assert result.remote.input_tokens == 1500
        picture = house.store.read(result.picture_key)
        assert picture is not None
        assert picture in house.gemini.requests[0].jpegs
        assert house.wait_for_event("described").detail["summary"] == google.GOOD["summary"]
    assert house.link.declare(analyzer_queue()).messages == 0  # acknowledged: nothing came back


def test_samples_are_judged_though_the_queue_of_the_lost_messages_is_away(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    declare = Link.declare

    def declared(link: Link, queue: Queue) -> QueueState:
        if queue == lost_queue():
            raise QueueAway("a node of the broker is away")
        return declare(link, queue)

    monkeypatch.setattr(Link, "declare", declared)
    with house.running():
        house.send_sample()
        eventually(lambda: len(house.results()) == 1, SECONDS)


def test_a_dead_provider_leaves_no_sample_unjudged(house: House) -> None:
    house.gemini.script(google.silence())
    house.config["analysis"]["gemini"]["timeout_seconds"] = 0.5
    with house.running():
        for _ in range(5):
            house.send_sample()
        eventually(lambda: len(house.results()) == 5, 60)
    for result in house.results():
        assert result.judged_by == "local"
        assert result.remote is not None
        assert result.remote.state == "unavailable"
    assert len(house.gemini.requests) <= 3 * 3 + 3  # attempts until the breaker opened


def test_a_missing_key_stops_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    with house.running():
        house.send_sample()
        eventually(lambda: len(house.results()) == 1, SECONDS)
        event = house.wait_for_event("provider")
    assert event.detail["state"] == "misconfigured"
    assert "GEMINI_API_KEY" in str(event.detail["reason"])
    assert house.gemini.requests == []


def test_the_budget_holds_across_replicas_and_restarts(house: House) -> None:
    house.config["analysis"]["budget"] = {"requests_per_day": 4}
    for expected in (4, 8):
        with house.running("analyzer-1"), house.running("analyzer-2"):
            for _ in range(4):
                house.send_sample()
            eventually(partial(house.has_results, expected), SECONDS)
    states = sorted(result.remote.state for result in house.results() if result.remote)
    assert states == ["ok"] * 4 + ["quota"] * 4
    assert len(house.gemini.requests) == 4


def test_a_malformed_message_goes_to_lost_with_its_reason(house: House) -> None:
    with house.running():
        house.send(b'{"kind": "sample", "schema": 2}')
        lost = eventually(lambda: house.link.get(lost_queue()), SECONDS)
        assert lost is not None
        house.send_sample()
        eventually(lambda: len(house.results()) == 1, SECONDS)
    assert "schema" in lost.headers["x-cradle-reason"]
    assert json.loads(lost.body)["schema"] == 2


def test_a_worker_whose_queue_is_deleted_builds_everything_anew(
    house: House, broker: BrokerService, broker_url: str
) -> None:
    with house.running():
        virtual_host = broker_url.rpartition("/")[2]
        broker.call("DELETE", f"/api/queues/{virtual_host}/{analyzer_queue().name}")
        eventually(lambda: house.link.declare(analyzer_queue()).consumers > 0, SECONDS)
        house.send_sample()
        eventually(lambda: len(house.results()) == 1, SECONDS)


@pytest.mark.parametrize("place", ["analyzer.after-picture", "analyzer.after-result"])
def test_killed_between_two_steps_the_next_worker_takes_it_up(house: House, place: str) -> None:
    file = house.root / "cradle.yaml"
    file.write_text(yaml.safe_dump(house.config))
    worker = subprocess.Popen(
        [sys.executable, "-m", "analyzer", "--config", str(file), "--name", "doomed"],
        env={**os.environ, "CRADLE_FAULT": place},
    )
    sample = house.send_sample()
    try:
        assert worker.wait(SECONDS) == -9
    finally:
        worker.kill()
    asked = len(house.gemini.requests)
    assert asked == 1
    assert house.events("described") == []
    with house.running():
        house.wait_for_event("described")
    assert len(house.results()) == 1
    assert house.results()[0].pictures[0].epoch == sample.pictures[0].epoch
    expected = asked if place == "analyzer.after-result" else asked + 1
    assert len(house.gemini.requests) == expected


def test_a_store_that_is_away_is_waited_for_and_a_wrong_secret_is_said(house: House) -> None:
    endpoint = house.config["archive"]["endpoint"]
    house.config["archive"]["endpoint"] = "http://127.0.0.1:9"
    with pytest.raises(StoreUnavailable):
        AnalyzerWorker(house.context("analyzer-1")).run_once(threading.Event())
    house.config["archive"]["endpoint"] = endpoint
    house.config["archive"]["secret_key"] = "not the secret"
    with pytest.raises(Misconfigured):
        AnalyzerWorker(house.context("analyzer-1")).run_once(threading.Event())
