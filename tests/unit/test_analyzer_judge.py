"""From a sample to its judgement: whose pictures may leave, whose words are taken."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from analyzer import consent
from analyzer.judge import Judge, NoPictures
from analyzer.local import in_words
from analyzer.outcome import (
    Blocked,
    Invalid,
    Misconfigured,
    Ok,
    Outcome,
    Quota,
    Throttled,
    Unavailable,
    Usage,
)
from analyzer.pictures import DecodedPicture, PictureReader
from analyzer.provider import Context
from shared.analysis import result_key
from shared.clock import SimulatedClock
from shared.config import Settings, from_mapping
from shared.errors import BadMessage
from shared.framestore import FrameReader
from shared.identity import new_epoch
from shared.observation import Activity, Observation, Presence
from tests.analyzer_samples import (
    CAMERA,
    EPOCH,
    START,
    context,
    key_frame,
    put_fragment,
    room,
    sample,
)

LEFT_HALF = [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]
PLAYING = Observation.model_validate(
    {
        **in_words(context().measurement, "en").model_dump(),
        "activity": Activity.PLAYING,
        "children": Presence.SEVERAL,
    }
)


class Remote:
    """A provider that keeps what it was given."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.given: list[Sequence[DecodedPicture]] = []

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        self.given.append(pictures)
        return self.outcome


def settings(**camera: Any) -> Settings:
    consented = {"remote_analysis": {"consent_date": "2026-02-01"}}
    return from_mapping(
        {
            "analysis": {"provider": "gemini", "gemini": {"paid_tier_confirmed": True}},
            "cameras": [{"id": CAMERA, "source": "test:", **consented, **camera}],
        }
    )


def make(root: Path, remote: Remote | None, configured: Settings | None = None) -> Judge:
    reader = PictureReader(FrameReader(root), 768)
    log: Any = structlog.get_logger()
    return Judge(configured or settings(), reader, remote, SimulatedClock(START), log)


@pytest.fixture
def moved(tmp_path: Path) -> Any:
    """A sample in which a ball moves."""
    return sample(
        [
            put_fragment(tmp_path, 0, key_frame(room(ball_at=(100, 300))), 0),
            put_fragment(tmp_path, 1, key_frame(room(ball_at=(500, 300))), 15),
        ]
    )


def test_the_remote_providers_words_are_taken(tmp_path: Path, moved: Any) -> None:
    remote = Remote(Ok(PLAYING, Usage(1, 100, 10)))
    judgement = make(tmp_path, remote).judge(moved)
    assert judgement.observation == PLAYING
    assert judgement.remote is not None
    assert (judgement.remote.state, judgement.remote.input_tokens) == ("ok", 100)
    assert [picture.captured_at for picture in remote.given[0]] == [
        each.captured_at for each in moved.pictures
    ]


@pytest.mark.parametrize(
    "outcome",
    [
        Blocked("no"),
        Invalid("no"),
        Throttled("no", START),
        Quota("no", START),
        Unavailable("no"),
        Misconfigured("no"),
    ],
    ids=lambda outcome: outcome.state,
)
def test_whatever_the_remote_provider_says_the_sample_is_judged(
    tmp_path: Path, moved: Any, outcome: Outcome
) -> None:
    judgement = make(tmp_path, Remote(outcome)).judge(moved)
    assert judgement.observation is not None
    assert judgement.observation.activity is Activity.CANNOT_TELL
    assert judgement.remote is not None
    assert judgement.remote.state == outcome.state
    assert judgement.remote.reason == "no"
    waits = isinstance(outcome, Throttled | Quota)
    assert judgement.remote.until == (START if waits else None)


def test_without_consent_no_picture_leaves(tmp_path: Path, moved: Any) -> None:
    remote = Remote(Ok(PLAYING))
    judgement = make(tmp_path, remote, settings(remote_analysis=None)).judge(moved)
    assert remote.given == []
    assert judgement.observation is not None
    assert judgement.remote is not None
    assert judgement.remote.state == "no-consent"


@pytest.mark.parametrize(
    ("consent_date", "paid", "state"),
    [
        ("2026-03-01", True, None),
        ("2026-03-02", True, "no-consent"),
        (None, True, "no-consent"),
        ("2026-03-01", False, "unpaid"),
    ],
    ids=["today", "tomorrow", "never", "unpaid tier"],
)
def test_consent_and_the_paid_tier_are_both_needed(
    consent_date: str | None, paid: bool, state: str | None
) -> None:
    given = None if consent_date is None else {"consent_date": consent_date}
    configured = settings(remote_analysis=given)
    gemini = configured.analysis.gemini.model_copy(update={"paid_tier_confirmed": paid})
    refused = consent.refusal(configured.cameras[0], gemini, date(2026, 3, 1))
    assert (refused[0] if refused else None) == state


def test_what_leaves_is_masked_and_so_is_what_is_stored(tmp_path: Path, moved: Any) -> None:
    remote = Remote(Ok(PLAYING))
    judgement = make(tmp_path, remote, settings(privacy_masks=[LEFT_HALF])).judge(moved)
    for picture in [*remote.given[0], judgement.picture]:
        assert not picture.pixels[:, :320].any()
        assert picture.pixels[:, 330:].any()


def test_nothing_changed_means_no_call_unless_it_is_a_heartbeat(tmp_path: Path) -> None:
    pictures = [put_fragment(tmp_path, number, key_frame(room()), number) for number in range(3)]
    remote = Remote(Ok(PLAYING))
    judge = make(tmp_path, remote)
    assert judge.judge(sample(pictures[1:], pictures[0])).observation is None
    assert remote.given == []
    assert judge.judge(sample(pictures[1:], pictures[0], heartbeat=True)).observation == PLAYING


def test_the_picture_before_is_remembered_and_not_read_again(tmp_path: Path) -> None:
    put = [put_fragment(tmp_path, number, key_frame(room()), number) for number in range(3)]
    put.append(put_fragment(tmp_path, 3, key_frame(room(ball_at=(300, 300))), 3))
    judge = make(tmp_path, None)
    assert judge.judge(sample(put[1:2], put[0])).observation is None
    (tmp_path / put[1].path).unlink()
    assert judge.judge(sample(put[2:3], put[1])).measurement.changed_share == 0.0
    assert judge.judge(sample(put[3:4], put[2])).measurement.changed_share > 0.02


def test_another_picture_before_than_the_remembered_one_is_read(tmp_path: Path) -> None:
    put = [put_fragment(tmp_path, number, key_frame(room()), number) for number in range(3)]
    ball = key_frame(room(ball_at=(300, 300)))
    other = put_fragment(tmp_path, 1, ball, 1, epoch=new_epoch(START + timedelta(seconds=9)))
    judge = make(tmp_path, None)
    assert judge.judge(sample(put[1:2], put[0])).observation is None
    assert judge.judge(sample(put[2:3], other)).measurement.changed_share > 0.02


def test_a_picture_that_is_gone_or_damaged_costs_only_itself(tmp_path: Path, moved: Any) -> None:
    before = put_fragment(tmp_path, 8, key_frame(room()), -60)
    broken = put_fragment(tmp_path, 9, b"\x47" * 1880, 30)
    (tmp_path / before.path).unlink()
    judgement = make(tmp_path, None).judge(sample([*moved.pictures, broken], before))
    assert judgement.observation is not None
    for reference in moved.pictures:
        (tmp_path / reference.path).unlink()
    with pytest.raises(NoPictures):
        make(tmp_path, None).judge(sample([*moved.pictures, broken], before))


def test_a_sample_that_names_another_cameras_pictures_is_refused(
    tmp_path: Path, moved: Any
) -> None:
    judge = make(tmp_path, None)
    foreign = moved.pictures[0].model_copy(update={"camera": "camera-2"})
    with pytest.raises(BadMessage, match="another camera"):
        judge.judge(moved.model_copy(update={"previous": foreign}))
    with pytest.raises(BadMessage, match="not in the configuration"):
        judge.judge(moved.model_copy(update={"camera": "camera-2"}))


def test_the_key_of_a_result_follows_from_its_pictures(tmp_path: Path) -> None:
    first = put_fragment(tmp_path, 3, b"x" * 188, 0.25)
    last = put_fragment(tmp_path, 7, b"x" * 188, 4)
    assert result_key(sample([first, last])) == (
        f"analysis/camera-1/2026/03/01/camera-1_20260301T030000250Z_{EPOCH}_000003-000007.json"
    )
    other = new_epoch(START + timedelta(seconds=9))
    later = put_fragment(tmp_path, 0, b"x" * 188, 9, epoch=other)
    assert result_key(sample([first, later]), "jpg").endswith(f"_{EPOCH}_000003-{other}_000000.jpg")
    assert isinstance(first.captured_at, datetime)
