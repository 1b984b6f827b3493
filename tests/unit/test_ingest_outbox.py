"""The outbox: every line is published in order until it is confirmed, whatever the link does."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.lines import PATIENCE_SECONDS
from ingest.outbox import CURSOR_NAME, CURSOR_SECONDS, WINDOW, Outbox
from shared.clock import SimulatedClock
from shared.framestore import INDEX_NAME
from shared.identity import new_epoch
from shared.log import get_logger
from shared.topology import FRAMES

CAMERA = "camera-1"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EPOCHS = [new_epoch(NOON + timedelta(hours=hour)) for hour in range(4)]


class Broker:
    """The publishing half of a link: what was sent, and the answers it still owes."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.owed: list[Callable[[bool], None]] = []

    def publish_confirmed(
        self,
        exchange: str,
        key: str,
        body: bytes,
        *,
        headers: object,
        on_result: Callable[[bool], None],
    ) -> None:
        assert (exchange, key) == (FRAMES, f"fragment.{CAMERA}")
        self.sent.append(body.decode())
        self.owed.append(on_result)

    def answer(self, good: bool = True, count: int | None = None) -> None:
        owed, self.owed = self.owed[:count], self.owed[count or len(self.owed) :]
        for each in owed:
            each(good)


class Desk:
    """Indexes, a broker, and an outbox that can die."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = SimulatedClock()
        self.link: Any = Broker()
        self.outbox = self.new_outbox()

    def new_outbox(self) -> Outbox:
        return Outbox(self.root, CAMERA, self.clock, get_logger())

    def write(self, epoch: str, *lines: str, end: bool = False, newline: bool = True) -> None:
        folder = self.root / CAMERA / epoch
        folder.mkdir(parents=True, exist_ok=True)
        written = [*lines, *(['{"kind":"epoch-end"}'] if end else [])]
        with (folder / INDEX_NAME).open("a") as file:
            file.write("\n".join(written) + ("\n" if newline and written else ""))

    def pump(self) -> list[str]:
        """Messages that one pump sends."""
        before = len(self.link.sent)
        self.outbox.pump(self.link)
        sent: list[str] = self.link.sent[before:]
        return sent


END = '{"kind":"epoch-end"}'


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_lines_are_sent_once_each_as_they_come(desk: Desk) -> None:
    assert desk.pump() == []
    desk.write(EPOCHS[0], "1", "2")
    assert desk.pump() == ["1", "2"]
    assert desk.pump() == []
    desk.write(EPOCHS[0], "3")
    assert desk.pump() == ["3"]


def test_epochs_are_sent_one_behind_the_other(desk: Desk) -> None:
    for epoch, name in zip(EPOCHS, "abcd", strict=True):
        desk.write(epoch, f"{name}1", f"{name}2", end=epoch != EPOCHS[-1])
    assert desk.pump() == ["a1", "a2", END, "b1", "b2", END, "c1", "c2", END, "d1", "d2"]


def test_the_next_epoch_waits_until_the_one_before_has_ended(desk: Desk) -> None:
    desk.write(EPOCHS[0], "a1")
    desk.write(EPOCHS[1], "b1")
    assert desk.pump() == ["a1"]
    desk.write(EPOCHS[0], end=True)
    assert desk.pump() == [END, "b1"]


def test_an_epoch_that_has_only_begun_is_waited_for(desk: Desk) -> None:
    (desk.root / CAMERA / EPOCHS[0]).mkdir(parents=True)
    assert desk.pump() == []
    desk.write(EPOCHS[0], "1")
    assert desk.pump() == ["1"]


def test_a_line_that_is_not_whole_is_not_sent(desk: Desk) -> None:
    desk.write(EPOCHS[0], "1", "torn", newline=False)
    assert desk.pump() == ["1"]
    desk.write(EPOCHS[0], "")
    assert desk.pump() == ["torn"]


def test_what_stands_behind_an_end_is_not_sent(desk: Desk) -> None:
    desk.write(EPOCHS[0], "1", end=True)
    desk.write(EPOCHS[0], "late")
    desk.write(EPOCHS[1], "2")
    assert desk.pump() == ["1", END, "2"]
    assert desk.pump() == []


def test_only_a_window_of_messages_is_under_way(desk: Desk) -> None:
    desk.write(EPOCHS[0], *map(str, range(WINDOW + 50)), end=True)
    assert len(desk.pump()) == WINDOW
    assert desk.pump() == []
    desk.link.answer(count=10)
    assert len(desk.pump()) == 10
    desk.link.answer()
    assert len(desk.pump()) == 41
    assert desk.outbox.waiting
    desk.link.answer()
    assert not desk.outbox.waiting


def test_a_new_link_is_sent_what_was_not_confirmed(desk: Desk) -> None:
    desk.write(EPOCHS[0], "1", "2", "3")
    desk.pump()
    desk.link.answer(count=1)
    desk.outbox.restart()
    assert desk.pump() == ["2", "3"]


def test_a_message_confirmed_before_an_earlier_one_is_sent_again(desk: Desk) -> None:
    desk.write(EPOCHS[0], "1", "2")
    desk.pump()
    desk.link.owed[1](True)
    desk.outbox.restart()
    assert desk.pump() == ["1", "2"]


def test_a_message_that_the_broker_refuses_is_sent_again(desk: Desk) -> None:
    desk.write(EPOCHS[0], "1", "2", "3")
    desk.pump()
    desk.link.answer(True, 1)
    desk.link.answer(False, 1)
    desk.link.answer(True, 1)
    assert desk.pump() == ["2", "3"]


def test_a_full_window_that_the_broker_refuses_is_in_no_hurry(desk: Desk) -> None:
    """As for minutes, while a node of its cluster is lost that has a queue which wants them."""
    desk.write(EPOCHS[0], *map(str, range(WINDOW + 50)))
    desk.pump()
    assert desk.outbox.is_full
    desk.link.answer(False)
    assert not desk.outbox.is_full
    assert len(desk.pump()) == WINDOW
    assert desk.outbox.is_full


def test_answers_of_a_lost_link_do_not_count_for_the_new_one(desk: Desk) -> None:
    desk.write(EPOCHS[0], "1", "2")
    desk.pump()
    old = desk.link.owed[:]
    desk.outbox.restart()
    desk.pump()
    for each in old:
        each(False)
    assert desk.pump() == []
    assert desk.outbox.waiting


def test_a_successor_goes_on_from_the_cursor(desk: Desk) -> None:
    desk.write(EPOCHS[0], "1", "2", end=True)
    desk.write(EPOCHS[1], "3", "4")
    desk.pump()
    desk.link.answer(count=4)
    desk.outbox.save()
    desk.outbox = desk.new_outbox()
    assert desk.pump() == ["4"]


def test_an_epoch_that_was_published_whole_is_not_published_again(desk: Desk) -> None:
    desk.write(EPOCHS[0], "1", end=True)
    desk.pump()
    desk.link.answer()
    desk.outbox.save()
    desk.outbox = desk.new_outbox()
    assert desk.pump() == []
    desk.write(EPOCHS[1], "2")
    assert desk.pump() == ["2"]


def test_the_cursor_is_written_down_now_and_then(desk: Desk) -> None:
    desk.write(EPOCHS[0], "1")
    desk.pump()
    desk.link.answer()
    desk.pump()
    assert not (desk.root / CAMERA / CURSOR_NAME).exists()
    desk.clock.advance(CURSOR_SECONDS)
    desk.pump()
    assert (desk.root / CAMERA / CURSOR_NAME).exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"epoch": 1}', '{"epoch":"x","offset":"y"}'])
def test_an_unreadable_cursor_publishes_everything_again(desk: Desk, content: str) -> None:
    desk.write(EPOCHS[0], "1", end=True)
    (desk.root / CAMERA / CURSOR_NAME).write_text(content)
    desk.outbox = desk.new_outbox()
    assert desk.pump() == ["1", END]


@pytest.mark.parametrize("offset", [1, 3, 4, 1000, -7])
def test_a_cursor_that_stands_within_a_line_begins_its_epoch_again(desk: Desk, offset: int) -> None:
    """A power cut may take lines from the index whose confirms were written down."""
    desk.write(EPOCHS[0], "a1", end=True)
    desk.write(EPOCHS[1], "11", "22")
    (desk.root / CAMERA / CURSOR_NAME).write_text(f'{{"epoch":"{EPOCHS[1]}","offset":{offset}}}')
    desk.outbox = desk.new_outbox()
    assert desk.pump() == (["22"] if offset == 3 else ["11", "22"])


def test_epochs_that_were_cleaned_away_are_passed_over(desk: Desk) -> None:
    desk.write(EPOCHS[0], "1")
    desk.pump()
    desk.link.answer()
    (desk.root / CAMERA / EPOCHS[0] / INDEX_NAME).unlink()
    (desk.root / CAMERA / EPOCHS[0]).rmdir()
    desk.write(EPOCHS[1], "2")
    assert desk.pump() == ["2"]


def test_a_disk_that_fails_is_waited_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.write(EPOCHS[0], "1")
    desk.pump()
    desk.link.answer()
    desk.clock.advance(CURSOR_SECONDS)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", fail)
        desk.write(EPOCHS[0], "2")
        assert desk.pump() == ["2"]
        with pytest.raises(OSError, match="No space"):
            desk.outbox.save()
    desk.outbox.save()
    assert (desk.root / CAMERA / CURSOR_NAME).exists()


@given(
    st.lists(
        st.sampled_from(["line", "end", "pump", "confirm", "refuse", "lose", "die"]), max_size=60
    )
)
def test_every_line_arrives_and_in_order_whatever_happens(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    desk = Desk(tmp_path_factory.mktemp("outbox"))
    written: list[str] = []
    arrived: list[str] = []
    epochs = iter(new_epoch(NOON + timedelta(minutes=minute)) for minute in range(100))
    epoch = next(epochs)

    def step(name: str) -> None:
        nonlocal epoch
        match name:
            case "line" | "end":
                line = END if name == "end" else str(len(written))
                desk.write(epoch, line)
                written.append(line)
                if name == "end":
                    epoch = next(epochs)
            case "pump":
                arrived.extend(desk.pump())
            case "confirm":
                desk.link.answer(True, 2)
            case "refuse":
                desk.link.answer(False, 1)
            case "lose":
                desk.link.answer(False)
                desk.outbox.restart()
            case "die":
                desk.outbox.save()
                desk.link = Broker()
                desk.outbox = desk.new_outbox()

    for name in [*steps, "lose", "pump"]:
        step(name)
    seen = [each for number, each in enumerate(arrived) if each not in arrived[:number]]
    assert seen == [each for number, each in enumerate(written) if each not in written[:number]]
    assert arrived.count(END) >= written.count(END)


def test_a_later_epoch_waits_for_the_end_of_the_one_before_but_not_for_ever(desk: Desk) -> None:
    """Its writer may be handing the camera over, or be dead on a disk that fails."""
    desk.write(EPOCHS[0], "a")
    desk.write(EPOCHS[1], "b", end=True)
    assert desk.pump() == ["a"]
    desk.clock.advance(PATIENCE_SECONDS - 1)
    assert desk.pump() == []
    desk.write(EPOCHS[0], "c")
    assert desk.pump() == ["c"]
    desk.pump()
    desk.clock.advance(PATIENCE_SECONDS)
    assert desk.pump() == ["b", END]


def test_an_index_that_cannot_be_read_is_passed_over_in_the_end(desk: Desk) -> None:
    (desk.root / CAMERA / EPOCHS[0] / INDEX_NAME).mkdir(parents=True)
    desk.write(EPOCHS[1], "b", end=True)
    assert desk.pump() == []
    desk.clock.advance(PATIENCE_SECONDS)
    assert desk.pump() == ["b", END]


def test_the_newest_epoch_is_never_given_up(desk: Desk) -> None:
    desk.write(EPOCHS[0], "a")
    desk.pump()
    desk.clock.advance(10 * PATIENCE_SECONDS)
    assert desk.pump() == []
    desk.write(EPOCHS[0], "b")
    assert desk.pump() == ["b"]
