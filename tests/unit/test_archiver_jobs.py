"""A clip that is refused is tried ever more seldom, and said aloud once a minute."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from archiver.clip import Clip, Made
from archiver.commit import Commit
from archiver.convert import FragmentUnreadable
from archiver.jobs import (
    ANNOUNCEMENTS,
    BLOCKED_LONGEST_SECONDS,
    CRY_SECONDS,
    UNREADABLE,
    Jobs,
    Results,
)
from archiver.windows import window_of
from shared.clock import SimulatedClock
from shared.errors import BadFragment, Refused, StoreUnavailable
from shared.log import get_logger
from tests.archiver_fragments import reference


class Refusing:
    """A desk and a committer in one: every commit ends with the same error."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.tries = 0
        self.calls: list[Callable[[], None]] = []

    def commit(self, clip: Clip) -> Commit:
        raise self.error

    def convert(
        self, _job: Callable[[], Commit], then: Callable[[Future[Commit]], None]
    ) -> Future[Commit]:
        self.tries += 1
        future: Future[Commit] = Future()
        future.set_exception(self.error)
        self.calls.append(lambda: then(future))
        return future


def nothing(*_: object) -> None:
    raise AssertionError("nothing came of it")


def jobs_of(desk: Refusing, clock: SimulatedClock, gone: Callable[..., None] = nothing) -> Jobs:

    jobs = Jobs(
        cast("Any", desk),
        cast("Any", desk),
        cast("Any", None),
        clock,
        get_logger(),
        worker="test",
        results=Results(nothing, gone, nothing),
    )
    run = (reference(0),)
    jobs.add(Clip(run, window_of(run[0], 600), 600))
    return jobs


@pytest.mark.parametrize(
    ("error", "blocked"), [(Refused("both keys are taken"), 1), (StoreUnavailable("away"), 0)]
)
def test_a_clip_that_is_refused_is_tried_seldom_and_said_aloud(
    error: Exception, blocked: int
) -> None:
    clock, desk = SimulatedClock(), Refusing(error)
    jobs = jobs_of(desk, clock)
    hour = 3600
    with capture_logs() as lines:
        for _ in range(hour):
            jobs.advance()
            while desk.calls:
                desk.calls.pop()()
            clock.advance(1)
    cries = [each for each in lines if each.get("action") == "clip.blocked"]
    assert jobs.blocked == blocked
    assert len(jobs) == 1, "it is never given up"
    if blocked:
        assert all(each["log_level"] == "error" for each in cries)
        assert 3 < len(cries) <= hour / CRY_SECONDS
        assert desk.tries <= 11 + hour / (BLOCKED_LONGEST_SECONDS / 2)
    else:
        assert not cries
        assert desk.tries > hour / 35


def play(jobs: Jobs, desk: "Refusing | Untold", clock: SimulatedClock, seconds: int) -> None:
    for _ in range(seconds):
        jobs.advance()
        while desk.calls:
            desk.calls.pop()()
        clock.advance(1)


@pytest.mark.parametrize(
    ("error", "is_stuck"),
    [
        (Refused("both keys are taken"), True),
        (BadFragment("epoch/000000.ts has 5 bytes and not 188"), True),
        (StoreUnavailable("away"), False),
    ],
)
def test_a_clip_that_fails_for_reasons_of_its_own_holds_up_no_other(
    error: Exception, is_stuck: bool
) -> None:
    """What was delivered for it is acknowledged, or the prefetch would be full of it for ever."""
    clock, desk = SimulatedClock(), Refusing(error)
    jobs = jobs_of(desk, clock)
    assert not jobs.are_stuck_with(reference(0).epoch, 0)
    play(jobs, desk, clock, 600)
    assert jobs.are_stuck_with(reference(0).epoch, 0) == is_stuck
    assert not jobs.are_stuck_with(reference(0).epoch, 1)


def test_a_fragment_that_cannot_be_read_is_left_out_after_some_tries() -> None:
    clock, desk = SimulatedClock(), Refusing(FragmentUnreadable(reference(0), "I/O error"))
    given_up: list[tuple[frozenset[int], str]] = []
    jobs = jobs_of(desk, clock, lambda _clip, *found: given_up.append(found))
    play(jobs, desk, clock, 60)
    assert given_up == [], "its disk may come back"
    play(jobs, desk, clock, 600)
    assert given_up == [(frozenset({0}), UNREADABLE)]
    assert len(jobs) == 0


class Untold:
    """A desk that stores each clip, and a link whose broker refuses the event so often."""

    def __init__(self, refusals: int) -> None:
        self.left = refusals
        self.told = 0
        self.calls: list[Callable[[], None]] = []

    def convert(
        self, job: Callable[[], Commit], then: Callable[[Future[Commit]], None]
    ) -> Future[Commit]:
        future: Future[Commit] = Future()
        future.set_result(job())
        self.calls.append(lambda: then(future))
        return future

    def commit(self, clip: Clip) -> Commit:
        made = Made("mp4", None, 10, "0" * 64, None)
        return Commit(clip.manifest(made, None, SimulatedClock().now()), "created", 1.0)

    def call(self, function: Callable[[], None]) -> None:
        self.calls.append(function)

    def publish_confirmed(
        self, *_: object, on_result: Callable[[bool], None], **__: object
    ) -> None:
        self.told += 1
        self.left -= 1
        on_result(self.left < 0)


@pytest.mark.parametrize(("refusals", "told"), [(0, 1), (3, 4), (10**6, ANNOUNCEMENTS)])
def test_a_clip_is_done_though_not_everybody_is_told_within_ten_seconds(
    refusals: int, told: int
) -> None:
    """RabbitMQ 4.3 confirms nothing to a queue whose node is lost; who waits asks the bucket."""
    clock, desk = SimulatedClock(), Untold(refusals)
    done: list[Commit] = []
    jobs = Jobs(
        cast("Any", desk),
        cast("Any", desk),
        cast("Any", desk),
        clock,
        get_logger(),
        worker="test",
        results=Results(lambda _clip, commit: done.append(commit), nothing, nothing),
    )
    run = (reference(0),)
    jobs.add(Clip(run, window_of(run[0], 600), 600))
    play(jobs, desk, clock, 11)
    assert len(done) == 1
    assert len(jobs) == 0
    assert desk.told == told
