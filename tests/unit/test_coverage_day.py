"""Every millisecond of a day is stored, missing with a reason, or may still be on its way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.clock import milliseconds
from shared.config import from_mapping
from shared.coverage.causes import Cause
from shared.coverage.day import Coverage, Evidence, Reason, Rules, cover
from shared.coverage.epochs import Unreadable
from shared.coverage.footage import Span
from shared.custody import EmptyWindow, EpochEnded, FragmentsFound
from tests.coverage_story import Story, is_apart

DAY = datetime(2026, 3, 1, tzinfo=UTC)
LATER = DAY + timedelta(days=3)
RULES = Rules(clip_seconds=600, grace_seconds=10, retention_days=60)


def at(hour: float = 0, minute: float = 0, second: float = 0) -> datetime:
    return DAY + timedelta(hours=hour, minutes=minute, seconds=second)


def between(starts: datetime, ends: datetime) -> Span:
    return Span(milliseconds(starts), milliseconds(ends))


def covered(
    story: Story | Evidence,
    starts: datetime = DAY,
    ends: datetime = DAY + timedelta(days=1),
    now: datetime = LATER,
    rules: Rules = RULES,
) -> Coverage:
    evidence = story.evidence() if isinstance(story, Story) else story
    return cover(evidence, between(starts, ends), now, rules)


def told(coverage: Coverage) -> list[tuple[float, float, Cause]]:
    """Holes: seconds from the day's start, length, cause."""
    return [
        (
            (hole.span.starts - coverage.day.starts) / 1000,
            hole.span.milliseconds / 1000,
            hole.reason.cause,
        )
        for hole in coverage.holes
    ]


def test_an_epoch_around_the_whole_day_stores_all_of_it() -> None:
    story = Story()
    story.record(at(-1), 26 * 3600, "the epoch is 12 h old")
    coverage = covered(story)
    assert told(coverage) == []
    assert coverage.stored == (between(at(), at(24)),)
    assert coverage.captured_milliseconds == coverage.stored_milliseconds == 86_400_000


def test_between_epochs_the_end_of_the_one_before_is_the_reason() -> None:
    story = Story()
    story.record(at(-1), 3600 + 100, "broke off: Connection timed out")
    story.record(at(0, 0, 140), 60, "ingest was stopped")
    story.record(at(0, 0, 260), 60, "the wall clock was stepped by +7.0 s")
    coverage = covered(story, ends=at(0, 0, 340))
    assert told(coverage) == [
        (100, 40, Cause.CAMERA_OFFLINE),
        (200, 60, Cause.INGEST_DOWN),
        (320, 20, Cause.CLOCK_STEP),
    ]
    assert coverage.holes[0].reason.words == "broke off: Connection timed out"
    assert coverage.captured_milliseconds == coverage.stored_milliseconds == 220_000


@pytest.mark.parametrize("said", [40, 4000])
@pytest.mark.parametrize("later", [0, 1, -1])
def test_an_end_that_was_corrected_explains_nothing(said: int, later: int) -> None:
    """It said fewer fragments than there were, or more; and some are in no clip."""
    story = Story()
    made = story.record(at(), 3600, "source ended", lambda each: each.fragment < 3000)
    (true,) = (each for each in story.records if isinstance(each, EpochEnded))
    false = true.model_copy(
        update={
            "fragments": said,
            "ended_at": true.ended_at + timedelta(seconds=later),
            "reason": "somebody said so",
        }
    )
    corrected = true.model_copy(update={"corrects": false.ended_at})
    story.records = [each for each in story.records if each is not true]
    story.records += [false, corrected] if later else [corrected, false]
    found = covered(story, ends=at(2), now=at(30))
    assert len(made) == 3600
    assert told(found) == [(3000, 600, Cause.UNKNOWN), (3600, 3600, Cause.SOURCE_ENDED)]
    assert "fragments 3000-3599" in found.holes[0].reason.words


def test_an_end_that_an_earlier_worker_recorded_wrongly_yields_to_one_of_more_fragments() -> None:
    story = Story()
    story.record(at(), 3600, "source ended")
    (true,) = (each for each in story.records if isinstance(each, EpochEnded))
    early = {"fragments": 40, "ended_at": at(0, 0, 40), "reason": "somebody said so"}
    story.records.append(true.model_copy(update=early))
    assert told(covered(story, ends=at(2))) == [(3600, 3600, Cause.SOURCE_ENDED)]


def test_a_camera_away_for_days_still_has_its_reason() -> None:
    story = Story()
    story.record(at(-24 * 9), 60, "no video for 5 s")
    assert told(covered(story)) == [(0, 86_400, Cause.CAMERA_OFFLINE)]


def test_before_the_first_epoch_nothing_was_recording_yet() -> None:
    story = Story()
    story.record(at(12), 12 * 3600, None)
    assert told(covered(story)) == [(0, 12 * 3600, Cause.NOT_RECORDING)]
    assert told(covered(Story())) == [(0, 86_400, Cause.NOT_RECORDING)]


def test_lost_fragments_are_explained_by_their_record() -> None:
    story = Story()
    made = story.record(at(), 3600, "source ended", lambda each: not 50 <= each.fragment < 70)
    story.lose(made[50:70])
    coverage = covered(story, ends=at(1))
    assert told(coverage) == [(50, 20, Cause.DELETED)]
    assert coverage.holes[0].reason.words.endswith(": quota (says ingest)")
    assert coverage.captured_milliseconds == 3_600_000


def test_a_loss_that_was_none_is_stored() -> None:
    """Ingest deletes unstored fragments blindly while the bucket is away, and records them all."""
    story = Story()
    made = story.record(at(), 600, "source ended", lambda each: not 80 <= each.fragment < 90)
    story.lose(made[50:100])
    story.lose(made[60:100], "gone from the frame store before they were archived")
    assert told(covered(story, ends=at(0, 10))) == [(80, 10, Cause.DELETED)]
    story = Story()
    made = story.record(at(), 100, "source ended", lambda each: 60 <= each.fragment < 70)
    story.lose(made[50:])
    assert told(covered(story, ends=at(0, 0, 100))) == [
        (0, 50, Cause.UNKNOWN),
        (50, 10, Cause.DELETED),
        (70, 30, Cause.DELETED),
    ]


def test_the_last_fragments_of_an_epoch_may_be_the_lost_ones() -> None:
    story = Story()
    made = story.record(at(), 600, "no video for 5 s", lambda each: each.fragment < 590)
    story.lose(made[590:595])
    assert told(covered(story, ends=at(0, 11))) == [
        (590, 5, Cause.DELETED),
        (595, 5, Cause.UNKNOWN),
        (600, 60, Cause.CAMERA_OFFLINE),
    ]


def test_what_nothing_explains_is_unknown_and_named() -> None:
    story = Story()
    made = story.record(at(), 3600, "source ended", lambda each: not 600 <= each.fragment < 1200)
    coverage = covered(story, ends=at(1))
    assert told(coverage) == [(600, 600, Cause.UNKNOWN)]
    assert coverage.holes[0].reason == Reason(
        Cause.UNKNOWN,
        f"fragments 600-1199 of epoch {made[0].epoch} are in no clip, no record says why",
        recorded=True,
    )


def test_an_epoch_without_an_end_explains_nothing_behind_it() -> None:
    story = Story()
    story.record(at(), 60, None)
    story.record(at(0, 2), 60, "source ended")
    coverage = covered(story, ends=at(0, 4))
    assert told(coverage) == [(60, 60, Cause.UNKNOWN), (180, 60, Cause.SOURCE_ENDED)]
    assert not coverage.holes[0].reason.recorded


def test_an_empty_window_is_a_reason_where_there_is_no_better_one() -> None:
    story = Story()
    story.record(at(), 600, None)
    story.records.append(
        EmptyWindow(
            camera="camera-1",
            starts_at=at(0, 20),
            ends_at=at(0, 30),
            reason="the last epoch ended: no video for 5 s",
        )
    )
    assert told(covered(story, ends=at(0, 40))) == [
        (600, 600, Cause.UNKNOWN),
        (1200, 600, Cause.CAMERA_OFFLINE),
        (1800, 600, Cause.UNKNOWN),
    ]


def test_a_clip_that_cannot_be_read_is_no_footage() -> None:
    story = Story()
    made = story.record(at(), 3600, "source ended", lambda each: not 600 <= each.fragment < 1200)
    story.unreadable.append(Unreadable(made[0].epoch, 600, "its object is not in the bucket"))
    coverage = covered(story, ends=at(1))
    assert told(coverage) == [(600, 600, Cause.UNREADABLE)]
    assert coverage.holes[0].reason.words == "its object is not in the bucket"


# -- holes between fragments ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "rate", "lengths", "holes"),
    [
        (1.0, 25, 1.0, 0),
        (1.041, 25, 1.0, 0),  # one frame of 40 ms, and the rounding of a millisecond
        (1.042, 25, 1.0, 9),
        (0.98, 25, 1.0, 0),  # overlapping by jitter
        (1.1, 10, 1.0, 0),  # the announced frame is 100 ms long
        (1.2, 10, 1.0, 9),
        (4.04, 25, 4.0, 0),  # not the longer for being a long fragment
        (4.1, 25, 4.0, 9),
    ],
)
def test_less_than_a_frame_between_fragments_is_no_gap(
    every: float, rate: float, lengths: float, holes: int
) -> None:
    story = Story(frames_per_second=rate)
    made = story.fragments(at(), [lengths] * 10, every)
    story.begin(made)
    story.store(made)
    story.end(made, "source ended")
    coverage = covered(story, ends=made[-1].ends_at)
    assert [hole.reason.cause for hole in coverage.holes] == [Cause.CAMERA_SILENT] * holes


def test_a_camera_slower_than_it_announces_has_no_gaps() -> None:
    """Announced 25 frames a second, sends 10: the last frame's end is reckoned 60 ms early."""
    story = Story()
    made = story.fragments(at(), [0.94] * 100, 1.0)
    made = [each.model_copy(update={"frames": 10}) for each in made]
    story.store(made)
    story.end(made, "source ended")
    assert told(covered(story, ends=made[-1].ends_at)) == []


def test_fragments_that_overlap_are_stored_to_the_end_of_the_longest() -> None:
    story = Story()
    made = story.fragments(at(), [60.0, 1.0], 2.0)
    story.begin(made)
    story.store(made)
    assert covered(story, ends=at(0, 2)).stored == (between(at(), at(0, 1)),)


def test_a_hole_between_two_clips_of_an_epoch_is_measured_too() -> None:
    story = Story()
    made = story.fragments(at(0, 0, 590), [1.0] * 10)
    story.store(made)
    more = [
        each.model_copy(update={"captured_at": each.captured_at + timedelta(seconds=3)})
        for each in story.fragments(at(0, 0, 590), [1.0] * 20)[10:]
    ]
    story.store(each.model_copy(update={"epoch": made[0].epoch}) for each in more)
    assert told(covered(story, at(0, 0, 590), at(0, 0, 613))) == [(10, 3, Cause.CAMERA_SILENT)]


def test_milliseconds_of_rounding_at_an_epoch_s_ends_are_not_unknown() -> None:
    story = Story()
    story.record(at(-1), 1800, "ingest was stopped")
    made = story.record(at(), 60, None, lambda each: each.fragment > 0)
    late = {"captured_at": made[0].captured_at + timedelta(milliseconds=3)}
    story.store([made[0].model_copy(update=late)])
    story.records.append(
        EpochEnded(
            camera="camera-1",
            epoch=made[0].epoch,
            fragments=60,
            ended_at=at(0, 1, 0.001),
            reason="no video for 5 s",
        )
    )
    assert told(covered(story, ends=at(0, 2))) == [
        (0, 0.003, Cause.INGEST_DOWN),
        (60, 60, Cause.CAMERA_OFFLINE),
    ]


# -- what may still be on its way -----------------------------------------------------------------


def test_the_open_window_is_not_yet_stored() -> None:
    story = Story()
    story.record(at(), 3600 * 15, None, lambda each: each.captured_at < at(14, 50))
    now = at(15, 4)
    coverage = covered(story, ends=now, now=now)
    assert told(coverage) == [(14 * 3600 + 50 * 60, 14 * 60, Cause.PENDING)]
    assert coverage.missing == []


def test_a_window_that_should_have_been_stored_long_ago_is_unknown() -> None:
    story = Story()
    story.record(at(), 3600 * 15, None, lambda each: each.captured_at < at(14))
    now = at(15, 0)
    assert told(covered(story, ends=now, now=now)) == [
        (14 * 3600, 40 * 60, Cause.UNKNOWN),
        (14 * 3600 + 40 * 60, 20 * 60, Cause.PENDING),
    ]


def test_a_camera_that_went_offline_just_now_is_missing_already() -> None:
    story = Story()
    story.record(at(14), 3600, "broke off: Connection refused")
    now = at(15, 4)
    assert told(covered(story, at(14), now, now)) == [
        (3600, 210, Cause.CAMERA_OFFLINE),
        (3810, 30, Cause.PENDING),
    ]


def test_what_a_host_that_is_away_may_hold_is_missing_only_once_nobody_can_bring_it() -> None:
    rules = replace(RULES, awaited_seconds=25 * 3600)
    story = Story()
    made = story.record(at(10), 3600, "the server ended", lambda each: each.fragment >= 600)
    hole, until = made[:600], at(10, 10) + timedelta(hours=25)

    def answer(now: datetime) -> Reason:
        (found,) = covered(story, at(10), at(11), now, rules).holes
        assert found.span == between(at(10), at(10, 10))
        return found.reason

    for now in (at(12), until - timedelta(milliseconds=1)):
        reason = answer(now)
        assert reason.cause is Cause.PENDING
        assert reason.words == "may still lie in the spool of a host that is away"
    assert answer(until).cause is Cause.UNKNOWN
    story.lose(hole, "in no clip, and nobody brought them in time")
    assert answer(until).cause is Cause.LOST
    lost = story.records[-1]
    story.store(hole)
    story.records.append(
        FragmentsFound(
            camera=story.camera,
            epoch=made[0].epoch,
            first=0,
            last=599,
            starts_at=made[0].captured_at,
            corrects=lost.key,
        )
    )
    assert covered(story, at(10), at(11), until, rules).holes == ()


def test_only_where_stages_share_no_disk_a_host_may_hold_what_is_missing() -> None:
    folder = from_mapping({"frames": {"url": "file:///frames"}})
    bucket = from_mapping({"frames": {"url": "s3://frames", "retention_hours": 48}})
    assert Rules.of(folder).awaited_seconds == 0
    assert Rules.of(bucket).awaited_seconds == 49 * 3600


def test_what_has_expired_says_so_and_its_gaps_keep_their_reasons() -> None:
    """What is past its days goes at UTC midnight, with clips that reach over it."""
    story = Story()
    old = story.record(at(-1), 3600 - 1800, "ingest was stopped", lambda _: False)
    story.record(
        *(at(-0.25), 8 * 3600, None),
        lambda each: each.captured_at >= at(0, 5) and not 2700 <= each.fragment < 3000,
    )
    coverage = covered(story, at(-1), at(1), now=DAY + timedelta(days=60, hours=1))
    assert old[-1].ends_at == at(-0.5)
    assert told(coverage) == [
        (0, 1800, Cause.EXPIRED),
        (1800, 900, Cause.INGEST_DOWN),
        (2700, 1200, Cause.EXPIRED),
        (5400, 300, Cause.UNKNOWN),
    ]


def test_a_clock_set_back_hides_nothing() -> None:
    """Two epochs over the same hour: what either holds is stored, what either lost is missing."""
    story = Story()
    story.record(at(9), 3 * 3600, "the wall clock was stepped by -3600.0 s")
    story.record(at(11), 600, "no video for 5 s")
    assert told(covered(story, at(9), at(12, 10))) == [(3 * 3600, 600, Cause.CAMERA_OFFLINE)]
    story = Story()
    story.record(
        at(9),
        3 * 3600,
        "the wall clock was stepped by -3600.0 s",
        lambda each: each.fragment < 9000,
    )
    story.record(at(11), 600, "no video for 5 s")
    assert told(covered(story, at(9), at(12))) == [(9000, 1800, Cause.UNKNOWN)]


# -- properties -----------------------------------------------------------------------------------

moments = st.integers(-900_000, 900_000).map(lambda each: DAY + timedelta(milliseconds=each))
spans = st.tuples(moments, moments).filter(lambda pair: pair[0] < pair[1])
reasons = st.sampled_from(["broke off: x", "ingest was stopped", "quota", "whatever else"])


@st.composite
def anything(draw: st.DrawFn) -> Story:
    """Clips and records that need not fit together at all."""
    story = Story(clip_seconds=draw(st.sampled_from([5, 60, 600])))
    for _ in range(draw(st.integers(0, 5))):
        made = story.fragments(
            draw(moments),
            draw(st.lists(st.floats(0.1, 90), min_size=1, max_size=12)),
            draw(st.none() | st.floats(0.1, 90)),
        )
        dice = draw(st.lists(st.booleans(), min_size=12, max_size=12))
        story.store(each for each in made if dice[each.fragment])
        for act in draw(st.sets(st.sampled_from(["begin", "end", "lose", "break"]))):
            if act == "begin":
                story.begin(made)
            elif act == "end":
                story.end(made, draw(reasons))
            elif act == "lose":
                story.lose(made[draw(st.integers(0, len(made) - 1)) :], draw(reasons))
            else:
                story.unreadable.append(Unreadable(made[0].epoch, draw(st.integers(0, 12)), "x"))
    for starts, ends in draw(st.lists(spans, max_size=3)):
        story.records.append(
            EmptyWindow(camera="camera-1", starts_at=starts, ends_at=ends, reason=draw(reasons))
        )
    return story


@settings(deadline=None, max_examples=200)
@given(anything(), spans, moments, st.booleans(), st.integers(0, 5000))
def test_stored_missing_and_pending_are_the_day_and_nothing_twice(
    story: Story,
    day: tuple[datetime, datetime],
    now: datetime,
    is_first_known: bool,
    days_later: int,
) -> None:
    evidence = story.evidence()
    if not is_first_known:
        evidence = replace(evidence, recording_since=None)
    coverage = covered(evidence, *day, now=max(now + timedelta(days=days_later), day[1]))
    pieces = [(span.starts, span.ends) for span in coverage.stored]
    pieces += [(hole.span.starts, hole.span.ends) for hole in coverage.holes]
    assert is_apart(sorted(pieces))
    assert sum(ends - starts for starts, ends in pieces) == coverage.day.milliseconds
    assert (
        coverage.stored_milliseconds + coverage.missing_milliseconds + coverage.pending_milliseconds
        == coverage.day.milliseconds
    )
    assert coverage.stored_milliseconds <= coverage.captured_milliseconds
    held = [
        (milliseconds(each.captured_at), milliseconds(each.ends_at))
        for manifest in story.manifests
        for each in manifest.fragments
    ]
    for hole in coverage.holes:  # nothing that a clip holds is ever called missing
        assert not any(
            max(starts, hole.span.starts) < min(ends, hole.span.ends) for starts, ends in held
        )


@st.composite
def truths(draw: st.DrawFn) -> list[tuple[list[str], int, str]]:
    """Epochs one after the other: the fate of each second, the pause behind them, its reason."""
    fates = st.lists(st.sampled_from(["stored", "quota", "vanished"]), min_size=1, max_size=30)
    pause = st.integers(0, 20)
    reason = st.sampled_from(["broke off: x", "ingest was stopped", "source ended"])
    return draw(st.lists(st.tuples(fates, pause, reason), min_size=1, max_size=6))


@settings(deadline=None, max_examples=150)
@given(truths(), st.integers(0, 30))
def test_each_second_gets_the_cause_of_what_really_happened(
    truth: list[tuple[list[str], int, str]], late_seconds: int
) -> None:
    causes = {
        "quota": Cause.DELETED,
        "vanished": Cause.UNKNOWN,
        "broke off: x": Cause.CAMERA_OFFLINE,
        "ingest was stopped": Cause.INGEST_DOWN,
        "source ended": Cause.SOURCE_ENDED,
    }
    story = Story(clip_seconds=5)
    expected = [Cause.NOT_RECORDING] * late_seconds
    for fates, pause, reason in truth:
        starts = at(0, 0, len(expected))
        made = story.record(starts, len(fates), reason, lambda _: False)
        story.store(each for each in made if fates[each.fragment] == "stored")
        story.lose(each for each in made if fates[each.fragment] == "quota")
        expected += [causes.get(fate, Cause.OTHER) for fate in fates]
        expected += [causes[reason]] * pause
    coverage = covered(story, ends=at(0, 0, len(expected)))
    found = [Cause.OTHER] * len(expected)  # stands for stored, on both sides
    for starts_at, length, cause in told(coverage):
        assert starts_at.is_integer()
        assert length.is_integer()
        found[int(starts_at) : int(starts_at + length)] = [cause] * int(length)
    assert found == expected
