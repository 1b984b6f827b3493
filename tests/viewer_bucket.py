"""A bucket with three clips of one epoch and a note, and a viewer before it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from shared.analysis import JudgedPicture, Measured, Remote, Result
from shared.config import ArchiveSettings
from shared.custody import EpochBegun, EpochEnded, write_custody
from shared.identity import day_prefix, stamp
from shared.link import Link
from shared.manifest import Manifest
from shared.messages import Event
from shared.objectstore import ObjectStore
from shared.observation import Activity, Observation, Presence, View
from shared.topology import EVENTS
from tests.archiver_fragments import CAMERA, Recorded, record
from tests.archiver_room import an_hour_ago, clip_of, committing
from tests.support import eventually
from tests.viewer_house import Person, Viewing, viewing

CLIPS = ((0, 2), (3, 5), (6, 8))
RATE = 30


@dataclass
class House:
    """Three clips of one epoch, one note, and a viewer."""

    viewer: Viewing
    store: ObjectStore
    recorded: Recorded
    clips: list[Manifest]
    broker_url: str
    folder: Path

    def person(self, name: str = "watcher") -> Person:
        return self.viewer.person(name)

    def path(self, clip: Manifest, *more: str) -> str:
        return "/".join((f"/api/cameras/{CAMERA}/clips/{clip.epoch}/{clip.first}", *more))

    def day_path(self) -> str:
        local = self.clips[0].starts_at.astimezone(self.viewer.settings.zone).date()
        return f"/api/cameras/{CAMERA}/days/{local}"

    def until_read(self, clips: int = 3) -> dict[str, Any]:
        """The day, once so many clips are known."""
        somebody = self.person()

        def day() -> dict[str, Any] | None:
            answer = somebody.ask("GET", self.day_path())
            found: dict[str, Any] = answer.json
            return found if answer.status == 200 and len(found["clips"]) == clips else None

        found = eventually(day, 20, "the clips are in the index")
        assert found is not None
        return found

    def publish(self, event: Event) -> None:
        with Link(self.viewer.settings.broker.url, "test") as link:
            link.publish_and_wait(EVENTS, event.routing_key, event.to_body())


def note(
    store: ObjectStore,
    at: datetime,
    summary: str,
    activity: Activity,
    remote: Remote | None = None,
) -> str:
    """A judged sample in the bucket; its key."""
    prefix = day_prefix("analysis", CAMERA, at)
    stem = f"{prefix}{CAMERA}_{stamp(at)}_test"
    result = Result(
        schema=1,
        camera=CAMERA,
        starts_at=at,
        ends_at=at + timedelta(seconds=60),
        judged_at=at + timedelta(seconds=61),
        judged_by="local",
        language="ko",
        heartbeat=False,
        observation=Observation(
            evidence="a picture",
            activity=activity,
            other_activity=None,
            adults=Presence.ONE,
            children=Presence.SEVERAL,
            summary=summary,
            view=View.CLEAR,
        ),
        measured=Measured(changed_share=0.1, brightness=100, spread=40, view=View.CLEAR),
        remote=remote,
        pictures=[JudgedPicture(epoch="0" * 20, fragment=0, captured_at=at)],
        picture_key=f"{stem}.jpg",
        picture_at=at,
        worker="test",
        software="test",
    )
    store.create_bytes(f"{stem}.jpg", b"\xff\xd8 a picture", content_type="image/jpeg")
    store.create_bytes(f"{stem}.json", result.to_body(), content_type="application/json")
    return f"{stem}.json"


@contextmanager
def house(
    folder: Path,
    broker_url: str,
    archive: ArchiveSettings,
    video: Path,
    codec: str = "h264",
    **sections: Any,
) -> Iterator[House]:
    store = ObjectStore(archive)
    recorded = record(folder / "frames", video, starts_at=an_hour_ago(), codec=codec)
    with committing(folder / "frames", store) as committer:
        clips = [committer.commit(clip_of(recorded, *each)).manifest for each in CLIPS]
    first = recorded.fragments[0]
    write_custody(store, EpochBegun(camera=CAMERA, epoch=first.epoch, stream=first.stream))
    write_custody(
        store,
        EpochEnded(
            camera=CAMERA,
            epoch=first.epoch,
            fragments=9,
            ended_at=recorded.fragments[8].ends_at,
            reason="broke off: Connection timed out",
        ),
    )
    note(store, clips[0].starts_at, "아이들이 블록을 쌓고 있습니다.", Activity.PLAYING)
    with viewing(folder, broker_url, archive, **sections) as viewer:
        yield House(viewer, store, recorded, clips, broker_url, folder)


def span_query(starts: datetime, ends: datetime) -> str:
    return f"from={quote(starts.isoformat())}&to={quote(ends.isoformat())}"
