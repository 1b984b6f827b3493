"""Batches are told at once, and those of an open fragment again when the broker is back."""

from datetime import UTC, datetime
from typing import Any, cast

from ingest.livebatches import MOST, LiveBatches
from shared.identity import fragment_path, new_epoch
from shared.link import Link
from shared.messages import Batch, StreamParameters, read_batch
from shared.topology import encoder_queue

NOW = datetime(2026, 3, 1, tzinfo=UTC)
EPOCH = new_epoch(NOW)
STREAM = StreamParameters(
    video_codec="h264", width=320, height=180, frames_per_second=25, audio_codec=None
)


class Told:
    """A link that notes what goes out."""

    def __init__(self) -> None:
        self.places: list[tuple[str, int, int]] = []

    def publish(self, exchange: str, key: str, body: bytes, *, headers: object) -> None:
        batch = read_batch(body)
        assert (exchange, key) == ("cradle.frames", f"batch.{batch.camera}")
        self.places.append((batch.camera, batch.fragment, batch.part))


def batch(fragment: int, part: int, camera: str = "camera-1") -> Batch:
    return Batch(
        camera=camera,
        epoch=EPOCH,
        fragment=fragment,
        path=fragment_path(camera, EPOCH, fragment),
        part=part,
        offset=188 * part,
        bytes=188,
        frames=5,
        captured_at=NOW,
        written_at=NOW,
        stream=STREAM,
    )


def resume(batches: LiveBatches, *cameras: str) -> Any:
    told = Told()
    batches.resume(cast(Link, told), set(cameras or ("camera-1",)))
    return told


def test_a_batch_is_told_as_it_is_written() -> None:
    batches = LiveBatches()
    told = resume(batches)
    batches.say(batch(0, 0))
    batches.say(batch(0, 1))
    assert told.places == [("camera-1", 0, 0), ("camera-1", 0, 1)]


def test_when_the_broker_is_back_live_begins_with_the_key_frame_of_the_open_fragment() -> None:
    batches = LiveBatches()
    resume(batches)
    batches.say(batch(0, 0))
    batches.pause()
    for place in ((0, 1), (1, 0), (1, 1)):
        batches.say(batch(*place))
    told = resume(batches)
    batches.say(batch(1, 2))
    assert [place[1:] for place in told.places] == [(1, 0), (1, 1), (1, 2)]


def test_a_camera_that_is_recorded_elsewhere_is_not_spoken_of() -> None:
    batches = LiveBatches()
    batches.say(batch(0, 0))
    batches.say(batch(0, 0, camera="camera-2"))
    told = resume(batches, "camera-2")
    assert told.places == [("camera-2", 0, 0)]
    assert resume(batches, "camera-1", "camera-2").places == [("camera-2", 0, 0)]


def test_a_fragment_longer_than_the_encoders_queue_is_not_told_again() -> None:
    batches = LiveBatches()
    for part in range(MOST + 5):
        batches.say(batch(0, part))
    assert resume(batches).places == []
    batches.say(batch(1, 0))
    assert resume(batches).places == [("camera-1", 1, 0)]


def test_what_is_told_again_fits_into_the_encoders_queue() -> None:
    assert int(encoder_queue("camera-1").arguments["x-max-length"]) >= MOST
