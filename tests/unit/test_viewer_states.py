"""How live a camera is, from what the stages say."""

from shared.clock import SimulatedClock
from shared.messages import Event, Stage
from viewer.states import LIVE_SECONDS, NEWS, States

CAMERA = "camera-1"


class Told:
    """States, and the stages that speak to them."""

    def __init__(self) -> None:
        self.clock = SimulatedClock()
        self.states = States(self.clock)

    def __call__(self, stage: Stage, event: str, **detail: str) -> str:
        self.clock.advance(0.1)
        self.states.take(
            Event(
                stage=stage,
                worker=f"{stage}-1",
                camera=CAMERA,
                event=event,
                at=self.clock.now(),
                detail=dict(detail),
            )
        )
        return self.states.live(CAMERA)[0]


def test_a_camera_is_live_when_its_encoder_says_so_and_only_for_a_while() -> None:
    told = Told()
    assert told.states.live(CAMERA)[0] == "unknown"
    assert told(Stage.INGEST, "online") == "unknown"
    assert told(Stage.ENCODER, "live") == "live"
    told.clock.advance(LIVE_SECONDS - 1)
    assert told.states.live(CAMERA)[0] == "live"
    told.clock.advance(2)
    assert told.states.live(CAMERA)[0] == "unknown"
    assert told(Stage.ENCODER, "stalled") == "stalled"


def test_a_camera_that_is_away_is_offline_with_the_reason() -> None:
    told = Told()
    told(Stage.INGEST, "online")
    told(Stage.ENCODER, "live")
    told(Stage.INGEST, "offline", reason="broke off: Connection timed out")
    told(Stage.ENCODER, "stalled")
    assert told.states.live(CAMERA) == ("offline", "broke off: Connection timed out")
    assert told(Stage.INGEST, "online") == "stalled"
    assert told(Stage.ENCODER, "live") == "live"


def test_a_camera_that_was_handed_over_is_live_though_the_one_that_left_says_offline_last() -> None:
    told = Told()
    told(Stage.INGEST, "online")
    told(Stage.ENCODER, "live")
    told(Stage.INGEST, "online")
    assert told(Stage.INGEST, "offline", reason="handed over to another worker") == "offline"
    before = told.clock.now().isoformat()
    assert told(Stage.ENCODER, "live", newest_at=before) == "offline"
    told.clock.advance(1)
    assert told(Stage.ENCODER, "live", newest_at=told.clock.now().isoformat()) == "live"
    assert told(Stage.ENCODER, "live", newest_at="what") == "offline"


def test_footage_that_was_deleted_unarchived_is_news_for_a_day() -> None:
    told = Told()
    assert told.states.expired(CAMERA) is None
    moment = told.clock.now().isoformat()
    facts = {"starts_at": moment, "ends_at": moment, "deleted_at": moment}
    told(Stage.INGEST, "expired", reason="quota", fragments="12", **facts)
    found = told.states.expired(CAMERA)
    assert found is not None
    assert (found.reason, found.fragments) == ("quota", 12)
    told.clock.advance(NEWS.total_seconds())
    assert told.states.expired(CAMERA) is None
    told(Stage.INGEST, "expired", reason="quota")
    assert told.states.expired(CAMERA) is None, "what cannot be read is nobody's news"
