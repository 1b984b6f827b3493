"""`cradle lost` on a real broker: looking takes nothing, and what is sent again arrives once."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import SecretStr

from deploy.command.main import main
from shared.link import Delivery, Link
from shared.topology import (
    FRAMES,
    LOST,
    ArchiveQueue,
    Queue,
    analyzer_queue,
    archiver_queue,
    batch_key,
    encoder_queue,
    fragment_key,
    lost_queue,
)
from tests.support import eventually

CAMERA = "camera-1"
ARCHIVED = archiver_queue(CAMERA, ArchiveQueue.CLASSIC)
ESCAPE = b"\x1b]0;owned\x07\x1b[2J"


class Desk:
    """An operator at a terminal, and a broker."""

    def __init__(self, folder: Path, url: str, link: Link, capture: Any) -> None:
        self.file = folder / "cradle.yaml"
        cameras = [{"id": CAMERA, "source": "test:160x90@5"}]
        self.file.write_text(yaml.safe_dump({"broker": {"url": url}, "cameras": cameras}))
        self.file.chmod(0o600)
        self.link = link
        self._capture = capture
        link.declare(lost_queue())

    def say(self, what: str, *words: str, code: int = 0) -> str:
        """Run `cradle lost`; what was printed."""
        found = main(["lost", what, "--config", str(self.file), *words])
        out, err = self._capture.readouterr()
        assert found == code, err
        return str(out + err)

    def facts(self, *words: str) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = json.loads(self.say("list", "--json", *words))
        return content

    def lose(self, key: str, body: bytes, reason: str = "it cannot be read") -> None:
        """As a worker does."""
        headers = {
            "x-cradle-reason": reason,
            "x-cradle-exchange": FRAMES,
            "x-cradle-routing-key": key,
        }
        self.link.publish_and_wait(LOST, key, body, headers=headers)

    def take(self, queue: Queue) -> Delivery:
        delivery = eventually(lambda: self.link.get(queue), 10, queue.name)
        assert delivery is not None
        delivery.ack()
        return delivery

    def waiting(self, queue: Queue) -> int:
        return self.link.declare(queue).messages


@pytest.fixture
def desk(tmp_path: Path, broker_url: str, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    with Link(SecretStr(broker_url), "test") as link:
        yield Desk(tmp_path, broker_url, link, capsys)


def test_where_nothing_is_lost_it_says_so(desk: Desk) -> None:
    assert desk.say("list") == "No message is lost.\n"


def test_looking_takes_nothing_away_and_changes_no_order(desk: Desk) -> None:
    for number in range(5):
        desk.lose(fragment_key(CAMERA), b"%d" % number)
    before = desk.facts()
    assert [each["queue"] for each in before] == [ARCHIVED.name] * 5
    desk.say("show", before[2]["identity"])
    eventually(lambda: desk.waiting(lost_queue()) == 5, 10)
    assert desk.facts() == before
    eventually(lambda: desk.waiting(lost_queue()) == 5, 10)
    assert [desk.take(lost_queue()).body for _ in range(5)] == [b"%d" % each for each in range(5)]


def test_a_few_of_many_are_shown_and_the_rest_is_counted(desk: Desk) -> None:
    for number in range(7):
        desk.lose(fragment_key(CAMERA), b"%d" % number)
    said = desk.say("list", "--limit", "3")
    assert len(said.splitlines()) == 1 + 3 + 1
    assert "4 more are there" in said


def test_a_hostile_message_commands_no_terminal(desk: Desk) -> None:
    desk.lose(batch_key(CAMERA), ESCAPE, reason=ESCAPE.decode())
    (facts,) = desk.facts()
    for said in (desk.say("list"), desk.say("show", facts["identity"])):
        assert "\x1b" not in said
        assert "\\x1b" in said


def test_a_message_is_sent_to_its_own_queue_and_to_no_other(desk: Desk) -> None:
    for queue in (ARCHIVED, encoder_queue(CAMERA), analyzer_queue()):
        desk.link.declare(queue)
    desk.link.declare(Queue("ear", {"x-queue-type": "classic"}, ((FRAMES, "#"),)))
    desk.lose(fragment_key(CAMERA), b"first")
    desk.lose(fragment_key(CAMERA), b"second")
    (first, _) = desk.facts()
    assert "sent to archiver.camera-1" in desk.say("republish", first["identity"])
    delivery = desk.take(ARCHIVED)
    assert delivery.body == b"first"
    assert delivery.headers == {}
    eventually(lambda: desk.waiting(lost_queue()) == 1, 10)
    assert desk.take(lost_queue()).body == b"second"
    for queue in (
        ARCHIVED,
        encoder_queue(CAMERA),
        Queue("ear", {"x-queue-type": "classic"}),
    ):
        assert desk.waiting(queue) == 0


def test_what_the_broker_moved_there_goes_back_to_the_queue_it_came_from(desk: Desk) -> None:
    mine = ARCHIVED
    small = Queue(mine.name, {**mine.arguments, "x-max-length": 1}, mine.bindings)
    desk.link.declare(small)
    for body in (b"pushed out", b"stays"):
        desk.link.publish_and_wait(FRAMES, fragment_key(CAMERA), body)
    eventually(lambda: desk.waiting(lost_queue()) == 1, 10)
    (facts,) = desk.facts()
    assert facts["queue"] == mine.name
    assert facts["reason"] == "the broker: maxlen"
    assert facts["lost_at"] is not None
    said = desk.say("republish", "--all", code=2)
    assert "made with other arguments" in said, "a queue that is not ours is not trusted to keep it"
    eventually(lambda: desk.waiting(lost_queue()) == 1, 10)
    assert desk.take(small).body == b"stays"


def test_a_message_for_nobody_stays(desk: Desk) -> None:
    desk.lose(fragment_key("camera-9"), b"of a camera that was taken out")
    desk.lose("what.ever", b"of nowhere")
    desk.lose(fragment_key(CAMERA), b"good")
    said = desk.say("republish", "--all", code=2)
    assert "camera-9 is not in the configuration" in said
    assert "nothing tells which queue" in said
    assert "2 of 3 messages stay" in said
    assert desk.take(ARCHIVED).body == b"good"
    eventually(lambda: desk.waiting(lost_queue()) == 2, 10)


def test_what_comes_back_at_once_is_not_sent_again_in_the_same_run(desk: Desk) -> None:
    """An archiver that still cannot read it."""

    def refuse(delivery: Delivery) -> None:
        desk.link.send_to_lost(delivery, "still wrong")

    desk.link.consume(
        ARCHIVED,
        prefetch=10,
        exclusive=True,
        on_delivery=refuse,
        on_closed=lambda _: None,
    )
    for number in range(20):
        desk.lose(fragment_key(CAMERA), b"%d" % number)
    assert desk.say("republish", "--all").count("sent to") == 20
    eventually(lambda: desk.waiting(lost_queue()) == 20, 10)
    assert {each["reason"] for each in desk.facts()} == {"still wrong"}
    assert {each["queue"] for each in desk.facts()} == {ARCHIVED.name}
    assert all(each["lost_at"] for each in desk.facts())


def test_what_is_dropped_is_gone_and_nothing_else_is(desk: Desk) -> None:
    for number in range(5):
        desk.lose(fragment_key(CAMERA), b"%d" % number, reason=f"reason {number}")
    chosen = [each["identity"] for each in desk.facts()[1:3]]
    said = desk.say("drop", *chosen).splitlines()
    assert said == [
        f"{name} dropped: reason {number}" for number, name in enumerate(chosen, start=1)
    ]
    eventually(lambda: desk.waiting(lost_queue()) == 3, 10)
    assert [each["reason"] for each in desk.facts()] == ["reason 0", "reason 3", "reason 4"]
    desk.say("drop", "--all")
    eventually(lambda: desk.waiting(lost_queue()) == 0, 10)
    assert desk.waiting(ARCHIVED) == 0


def test_filters_choose_by_camera_and_queue(desk: Desk) -> None:
    desk.lose(fragment_key(CAMERA), b"1")
    desk.lose(batch_key(CAMERA), b"2")
    desk.lose(fragment_key("camera-2"), b"3")
    assert len(desk.facts("--camera", CAMERA)) == 2
    assert len(desk.facts("--queue", f"archiver.{CAMERA}")) == 1
    assert "no such message" in desk.say("show", "0123456789", code=2)


def test_a_broker_that_is_away_is_one_sentence(desk: Desk) -> None:
    desk.file.write_text(yaml.safe_dump({"broker": {"url": "amqp://cradle:hush@127.0.0.1:1"}}))
    said = desk.say("list", code=1)
    assert said.startswith("cradle lost: ")
    assert said.count("\n") == 1
    assert "hush" not in said


def test_which_messages_must_be_said(desk: Desk) -> None:
    for what in ("republish", "drop"):
        assert "--all" in desk.say(what, code=2)
