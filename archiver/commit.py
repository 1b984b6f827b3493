"""The commit of one clip: convert, upload, create the manifest. Safe to be killed anywhere.

Every key follows from what the clip holds and is created once. What a run that died left behind is
found by the store's refusal: an object under our key is adopted if it is this clip, whole (the
manifest then describes the object that is there, not the one we made); an object that is not this
clip keeps its key, and ours is stored under the other suffix. A manifest under our key with our
range means the clip is committed; with another range, or any committed clip that shares a fragment
with ours, somebody else has worked on this camera: RangeTaken, and the caller reads all anew.

Checks against the bucket surround the work: one before the conversion, which also keeps a store
that is down from costing conversions, one right before the manifest, for a worker that was frozen
while another held its seat, and one behind it, for a worker that froze just then: it takes its
manifest back.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from archiver.clip import Clip, Container, Made, MadeFile
from archiver.convert import Converter, count_packets
from archiver.poster import make_poster
from archiver.workfolder import WorkFolder
from shared import faults
from shared.clipfolder import ClipFolder
from shared.clock import Clock
from shared.errors import AlreadyExists, ChildFailed, Refused, StoreUnavailable
from shared.framestore import FrameStore
from shared.log import Log
from shared.manifest import Manifest
from shared.objectstore import ObjectStore
from shared.tracing import Steps, step

CONTENT_TYPES: Mapping[Container, str] = {"mp4": "video/mp4", "ts": "video/mp2t"}

Outcome = Literal["created", "adopted", "already committed"]


class RangeTaken(Refused):
    """Another clip holds some of these fragments: this worker no longer knows what is committed."""


@dataclass(frozen=True)
class Commit:
    """A clip that is committed, and how it came to be."""

    manifest: Manifest
    outcome: Outcome
    seconds: float
    steps: Steps | None = None
    """Where the clip is traced."""

    @property
    def manifest_key(self) -> str:
        return self.manifest.identity.manifest_key


class Committer:
    """Commits clips. Used by many threads."""

    def __init__(
        self,
        store: ObjectStore,
        frames: FrameStore,
        converter: Converter,
        work: WorkFolder,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store = store
        self._frames = frames
        self._converter = converter
        self._work = work
        self._clock = clock
        self._log = log

    def commit(self, clip: Clip) -> Commit:
        """Make the clip exist.

        Raises StoreUnavailable, FragmentsGone, RangeTaken, Abandoned; Refused if both keys of this
        range hold something else.
        """
        began = self._clock.monotonic()
        steps = None if clip.trace is None else Steps(self._clock)
        manifest = self._committed(clip)
        outcome: Outcome = "already committed"
        if manifest is None:
            # The poster first: where it must be tried again, no upload was made in vain.
            picture = make_poster(self._frames, clip.fragments[0], self._log)
            with self._work.file("mp4") as path:
                with step(steps, "convert"):
                    file = self._converter.make(clip, path)
                faults.point("archiver.after-convert")
                poster_key = self._store_poster(clip, picture)
                with step(steps, "upload"):
                    made, outcome = self._upload(clip, file)
            faults.point("archiver.after-upload")
            mine = clip.manifest(made, poster_key, self._clock.now())
            with step(steps, "manifest"):
                manifest = self._committed(clip) or self._create_manifest(clip, mine)
                if manifest is mine:
                    self._demand_alone(clip)
            faults.point("archiver.after-manifest")
            outcome = outcome if manifest is mine else "already committed"
        if steps is not None:
            steps.end()
        return Commit(manifest, outcome, self._clock.monotonic() - began, steps)

    def _committed(self, clip: Clip) -> Manifest | None:
        """The manifest of this very clip. Raises RangeTaken if another one shares fragments."""
        key = self._key_there(clip)
        return None if key is None else self._folder(clip).manifest(key)

    def _demand_alone(self, clip: Clip) -> None:
        """Take our new manifest back, and raise RangeTaken, if another clip shares fragments.

        Nothing fences a worker that froze between its look and its manifest: the request, of
        another first fragment than its successor's, then arrives behind that one's.
        """
        try:
            self._key_there(clip)
        except RangeTaken:
            self._store.remove(clip.identity.manifest_key)
            raise

    def _key_there(self, clip: Clip) -> str | None:
        """The key of this very clip's manifest, if it is there. Raises RangeTaken."""
        ours, found = clip.identity, None
        for each in self._folder(clip).around(ours, clip.fragments[-1].captured_at):
            other = each.identity
            if (other.first, other.last) != (ours.first, ours.last):
                raise RangeTaken(
                    f"fragments {other.first}-{other.last} of epoch {other.epoch} are committed, "
                    f"which share some with {ours.first}-{ours.last}"
                )
            found = other.manifest_key
        return found

    def _folder(self, clip: Clip) -> ClipFolder:
        return ClipFolder(self._store, clip.identity.camera)

    def _upload(self, clip: Clip, file: MadeFile) -> tuple[Made, Outcome]:
        try:
            return file.made, self._create(clip, file)
        except AlreadyExists as error:
            found = self._adopt(clip, file.made.container)
            if found is not None:
                return found, "adopted"
            if file.made.container == "ts":
                raise Refused(f"{error}, and it is not this clip") from error
        reason = f"{clip.identity.object_key('mp4')} holds something that is not this clip"
        with self._work.file("ts") as path:
            return self._upload(clip, self._converter.join(clip, path, reason))

    def _create(self, clip: Clip, file: MadeFile) -> Outcome:
        made = file.made
        created = self._store.create_file(
            clip.identity.object_key(made.container),
            file.path,
            sha256=made.sha256,
            content_type=CONTENT_TYPES[made.container],
            metadata=identity_metadata(clip),
        )
        return "created" if created else "adopted"

    def _adopt(self, clip: Clip, container: Container) -> Made | None:
        """What is stored under our key, if it is this clip, whole; else None."""
        key = clip.identity.object_key(container)
        stored = self._store.stat(key)
        if stored is None:
            raise StoreUnavailable(f"{key} was refused as existing and is not there")
        wanted = identity_metadata(clip)
        if any(stored.metadata.get(name) != value for name, value in wanted.items()):
            return None
        with self._work.file(container) as path:
            self._store.download(key, path)
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            if sha256 != stored.metadata.get("sha256"):
                return None
            try:
                counted: int | None = count_packets(path, container)
            except ChildFailed:
                counted = None
        if container == "mp4" and counted != clip.frames:
            return None
        reason = None if container == "mp4" else "the original bytes were kept by an earlier run"
        return Made(container, reason, stored.bytes, sha256, counted)

    def _store_poster(self, clip: Clip, picture: bytes | None) -> str | None:
        if picture is None:
            return None
        key = clip.identity.object_key("jpg")
        with suppress(AlreadyExists):  # an earlier run's, of the same key frame
            self._store.create_bytes(key, picture, content_type="image/jpeg")
        return key

    def _create_manifest(self, clip: Clip, manifest: Manifest) -> Manifest:
        """The manifest that is there afterwards: ours, or an equal one that came before."""
        key = clip.identity.manifest_key
        try:
            self._store.create_bytes(key, manifest.to_body(), content_type="application/json")
        except AlreadyExists:
            there = self._folder(clip).manifest(key)
            if there is None or there.last != clip.identity.last:
                raise RangeTaken(f"{key} was created by another worker") from None
            return there
        return manifest


def identity_metadata(clip: Clip) -> dict[str, str]:
    """What an object says of itself: enough to know whether it is this clip."""
    identity = clip.identity
    return {
        "camera": identity.camera,
        "epoch": identity.epoch,
        "first": str(identity.first),
        "last": str(identity.last),
        "frames": str(clip.frames),
    }
