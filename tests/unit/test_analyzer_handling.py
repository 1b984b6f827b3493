"""One message, from its body to its acknowledgement, and what a second delivery of it meets."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import REGISTRY

from analyzer.handling import LATE_SECONDS, SampleHandler
from analyzer.judge import Judge
from analyzer.outcome import Misconfigured
from analyzer.pictures import PictureReader
from analyzer.remote import Unusable
from analyzer.states import ProviderStates
from shared.analysis import read_result, result_key
from shared.clock import SimulatedClock
from shared.config import Settings, from_mapping
from shared.errors import AlreadyExists, LinkLost, NotConfirmed, StoreUnavailable
from shared.framestore import FrameReader
from shared.health import Health
from shared.messages import Event, Sample, read_event
from tests.analyzer_samples import CAMERA, START, key_frame, put_fragment, room, sample

LOG: Any = structlog.get_logger()


class Objects:
    """A create-only store in memory."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.refuses = ""

    def create_bytes(self, key: str, data: bytes, *, content_type: str) -> bool:
        if self.refuses and key.endswith(self.refuses):
            raise StoreUnavailable("the store is away")
        if self.objects.setdefault(key, data) != data:
            raise AlreadyExists(key)
        return True

    def read(self, key: str) -> bytes | None:
        return self.objects.get(key)


class Desk:
    """Keeps what was published, and plays the broker."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lost: list[str] = []

    def publish(self, exchange: str, key: str, body: bytes, *, headers: Any) -> None:
        event = read_event(body)
        assert key == event.routing_key
        self.events.append(event)

    publish_and_wait = publish

    def send_to_lost(self, delivery: Any, reason: str) -> None:
        self.lost.append(reason)

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.event == name]


class Message:
    """A delivery."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.headers: dict[str, Any] = {}
        self.acked = False

    def ack(self) -> None:
        self.acked = True


class House:
    """A handler with everything around it."""

    def __init__(self, root: Path, provider: str = "local", remote: Any = None) -> None:
        self.settings: Settings = from_mapping(
            {
                "analysis": {"provider": provider, "gemini": {"paid_tier_confirmed": True}},
                "cameras": [
                    {
                        "id": CAMERA,
                        "source": "test:",
                        "remote_analysis": {"consent_date": "2026-01-01"},
                    }
                ],
            }
        )
        self.clock = SimulatedClock(START)
        self.store = Objects()
        self.desk = Desk()
        self.health = Health(self.clock)
        judge = Judge(self.settings, PictureReader(FrameReader(root), 320), remote, self.clock, LOG)
        self.handler = SampleHandler(
            self.settings.analysis,
            judge,
            self.store,
            ProviderStates("analyzer-1", self.health, self.clock, LOG),
            "analyzer-1",
            self.clock,
            LOG,
        )

    def handle(self, body: bytes) -> Message:
        message = Message(body)
        delivery: Any = message
        self.handler.handle(self.desk, delivery)
        return message


def counted(result: str, camera: str = CAMERA) -> float:
    labels = {"camera": camera, "result": result}
    return REGISTRY.get_sample_value("cradle_analyzer_samples_total", labels) or 0.0


@pytest.fixture
def moved(tmp_path: Path) -> Sample:
    return sample(
        [
            put_fragment(tmp_path, 0, key_frame(room(ball_at=(100, 300))), -10),
            put_fragment(tmp_path, 1, key_frame(room(ball_at=(500, 300))), -1),
        ]
    )


def test_a_judged_sample_is_stored_announced_and_acknowledged(
    tmp_path: Path, moved: Sample
) -> None:
    house = House(tmp_path)
    assert house.handle(moved.to_body()).acked
    key = result_key(moved)
    result = read_result(house.store.objects[key])
    assert result.judged_by == "local"
    assert result.remote is None
    assert result.observation.summary
    assert [picture.fragment for picture in result.pictures] == [0, 1]
    assert result.picture_at == moved.pictures[1].captured_at
    assert house.store.objects[result.picture_key].startswith(b"\xff\xd8\xff")
    (event,) = house.desk.named("described")
    assert event.detail["key"] == key
    assert event.detail["judged_by"] == "local"


def test_a_result_that_exists_is_not_judged_again_but_announced_again(
    tmp_path: Path, moved: Sample
) -> None:
    house = House(tmp_path)
    house.handle(moved.to_body())
    stored = dict(house.store.objects)
    for reference in moved.pictures:
        (tmp_path / reference.path).unlink()  # judging again would be noticed
    before = counted("duplicate")
    assert house.handle(moved.to_body()).acked
    assert house.store.objects == stored
    assert len(house.desk.named("described")) == 2
    assert counted("duplicate") == before + 1


def test_a_run_that_died_between_picture_and_result_is_taken_up(
    tmp_path: Path, moved: Sample
) -> None:
    house = House(tmp_path)
    house.store.refuses = ".json"
    with pytest.raises(StoreUnavailable):
        house.handle(moved.to_body())
    assert list(house.store.objects) == [result_key(moved, "jpg")]
    house.store.refuses = ""
    assert house.handle(moved.to_body()).acked
    assert set(house.store.objects) == {result_key(moved), result_key(moved, "jpg")}


def test_while_the_store_is_away_nothing_is_acknowledged_or_announced(
    tmp_path: Path, moved: Sample
) -> None:
    house = House(tmp_path)
    house.store.refuses = "jpg"
    message = Message(moved.to_body())
    delivery: Any = message
    with pytest.raises(StoreUnavailable):
        house.handler.handle(house.desk, delivery)
    assert not message.acked
    assert house.desk.events == []


def test_a_late_sample_is_skipped_and_counted(tmp_path: Path, moved: Sample) -> None:
    house = House(tmp_path)
    house.clock.advance(LATE_SECONDS)
    before = counted("late")
    assert house.handle(moved.to_body()).acked
    assert counted("late") == before + 1
    assert house.store.objects == {}


def test_an_unchanged_sample_is_announced_and_not_stored(tmp_path: Path) -> None:
    house = House(tmp_path)
    pictures = [put_fragment(tmp_path, number, key_frame(room()), -2) for number in range(2)]
    assert house.handle(sample(pictures).to_body()).acked
    assert house.store.objects == {}
    assert [event.event for event in house.desk.events] == ["unchanged"]


def test_an_unreadable_sample_is_counted_and_stops_nobody(tmp_path: Path, moved: Sample) -> None:
    house = House(tmp_path)
    for reference in moved.pictures:
        (tmp_path / reference.path).unlink()
    before = counted("unreadable")
    assert house.handle(moved.to_body()).acked
    assert counted("unreadable") == before + 1


def test_switched_off_means_nothing_is_looked_at(tmp_path: Path, moved: Sample) -> None:
    house = House(tmp_path, provider="off")
    assert house.handle(moved.to_body()).acked
    assert house.store.objects == {}
    assert house.desk.events == []


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"camera": "../../etc"},
        {"camera": "camera-99"},
        {"pictures": []},
        {"pictures": [{"path": "../../secret.ts"}]},
    ],
    ids=["another schema", "path in the id", "unknown camera", "no pictures", "path in a picture"],
)
def test_a_message_that_cannot_be_obeyed_goes_to_lost_with_its_reason(
    tmp_path: Path, moved: Sample, change: dict[str, Any]
) -> None:
    house = House(tmp_path)
    body = {**json.loads(moved.to_body()), **change}
    before = counted("lost", "")
    assert not house.handle(json.dumps(body).encode()).acked  # the link does, once confirmed
    assert len(house.desk.lost) == 1
    assert house.desk.lost[0]
    assert counted("lost", "") == before + 1
    assert not house.handle(b"\x00 not json").acked
    assert len(house.desk.lost) == 2


def test_a_misconfigured_provider_is_visible_everywhere_and_stops_nothing(
    tmp_path: Path, moved: Sample
) -> None:
    reason = "analysis.gemini.api_key_env: the variable GEMINI_API_KEY is not set"
    house = House(tmp_path, provider="gemini", remote=Unusable(Misconfigured(reason)))
    assert house.handle(moved.to_body()).acked
    result = read_result(house.store.objects[result_key(moved)])
    assert result.judged_by == "local"
    assert result.remote is not None
    assert (result.remote.state, result.remote.reason) == ("misconfigured", reason)
    (event,) = house.desk.named("provider")
    assert event.detail == {"state": "misconfigured", "reason": reason}
    assert house.health.answer()[1]["states"][CAMERA].startswith("misconfigured")
    labels = {"camera": CAMERA, "state": "misconfigured"}
    assert REGISTRY.get_sample_value("cradle_analyzer_provider_state", labels) == 1
    later = sample([*moved.pictures, put_fragment(tmp_path, 2, key_frame(room()), 0)])
    house.handle(later.to_body())
    assert len(house.desk.named("provider")) == 1  # told once, until it changes


@pytest.mark.parametrize(("error", "is_done"), [(NotConfirmed, True), (LinkLost, False)])
def test_a_sample_is_done_though_a_page_is_not_told_unless_the_broker_is_lost(
    tmp_path: Path, moved: Sample, error: type[Exception], is_done: bool
) -> None:
    house = House(tmp_path)

    def fail(*_: object, headers: object) -> None:
        raise error("no")

    house.desk.publish_and_wait = fail  # type: ignore[assignment, method-assign]
    message = Message(moved.to_body())
    delivery: Any = message
    with nullcontext() if is_done else pytest.raises(error):
        house.handler.handle(house.desk, delivery)
    assert message.acked == is_done
    assert result_key(moved) in house.store.objects


def test_the_trace_of_a_sample_goes_on_in_its_events(tmp_path: Path, moved: Sample) -> None:
    house = House(tmp_path)
    seen: list[Any] = []
    house.desk.publish_and_wait = lambda *_, headers: seen.append(headers)  # type: ignore[method-assign]
    message = Message(moved.to_body())
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    message.headers = {"traceparent": trace, "x-other": "no"}
    delivery: Any = message
    house.handler.handle(house.desk, delivery)
    assert seen == [{"traceparent": trace}]
