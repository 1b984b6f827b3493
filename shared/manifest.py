"""The manifest: the JSON object that makes a clip exist.

The archiver uploads a clip's object, then creates its manifest; until then the object is a
leftover, from then on the clip is committed, for good. A manifest says exactly which fragments of
which epoch the object holds, so that the object store alone tells what is stored (`cradle
coverage`) and what is not committed yet (the archiver after a restart).
"""

from datetime import datetime, timedelta
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from shared.errors import BadMessage
from shared.identity import ClipIdentity
from shared.messages import (
    CameraId,
    EpochId,
    Fragment,
    FragmentNumber,
    ShortText,
    StreamParameters,
)
from shared.tracing import TraceId

MAX_MANIFEST_BYTES = 8 * 1024 * 1024
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ManifestPart(BaseModel):
    """Common to what a manifest is made of."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    def to_body(self) -> bytes:
        """As it is stored: UTF-8 JSON."""
        return self.model_dump_json(by_alias=True).encode()


class ArchivedFragment(ManifestPart):
    """One fragment of the clip, as its reference described it."""

    fragment: FragmentNumber = Field(description="Number of the fragment in its epoch.")
    frames: int = Field(gt=0, description="Video frames in it.")
    bytes: int = Field(gt=0, description="Size in the frame store.")
    captured_at: AwareDatetime = Field(description="Capture time of its first frame, UTC.")
    duration_seconds: float = Field(ge=0, description="To the end of its last frame.")

    @property
    def ends_at(self) -> datetime:
        """End of its last frame, UTC."""
        return self.captured_at + timedelta(seconds=self.duration_seconds)

    @classmethod
    def of(cls, fragment: Fragment) -> Self:
        return cls(
            fragment=fragment.fragment,
            frames=fragment.frames,
            bytes=fragment.bytes,
            captured_at=fragment.captured_at,
            duration_seconds=fragment.duration_seconds,
        )


class Gap(ManifestPart):
    """A time without footage, before the clip or inside it."""

    starts_at: AwareDatetime = Field(description="End of the last frame before it, UTC.")
    ends_at: AwareDatetime = Field(description="First frame after it, UTC.")
    reason: ShortText = Field(description="Why nothing is there, in words.")


class Manifest(ManifestPart):
    """One committed clip."""

    schema_: Literal[1] = Field(1, alias="schema", description="Major version of the format.")
    kind: Literal["clip"] = "clip"
    camera: CameraId = Field(description="Camera id.")
    epoch: EpochId = Field(description="Epoch id.")
    first: FragmentNumber = Field(description="First fragment.")
    last: FragmentNumber = Field(description="Last fragment, included.")
    object_key: str = Field(description="Key of the clip in the same bucket.")
    poster_key: str | None = Field(description="Key of a JPEG of its first frame, if there is one.")
    container: Literal["mp4", "ts"] = Field(description="`ts`: the original bytes were kept.")
    reason: ShortText | None = Field(description="Why the original bytes were kept.")
    bytes: int = Field(gt=0, description="Size of the object.")
    sha256: Sha256 = Field(description="SHA-256 of the object.")
    frames: int = Field(gt=0, description="Video frames, by the references.")
    probed_frames: int | None = Field(
        description="Video frames counted in the object; null if it could not be read."
    )
    starts_at: AwareDatetime = Field(description="Capture time of the first frame, UTC.")
    ends_at: AwareDatetime = Field(description="End of the last frame, UTC.")
    window_starts_at: AwareDatetime = Field(description="Start of the wall-clock slot, UTC.")
    window_seconds: int = Field(gt=0, description="Length of the slot.")
    stream: StreamParameters = Field(description="Parameters of the epoch.")
    fragments: list[ArchivedFragment] = Field(min_length=1, description="All of them, in order.")
    gaps: list[Gap] = Field(description="Before and inside the clip, where known.")
    trace_id: TraceId | None = Field(None, description="Trace that tells how it came, if any.")
    software: str = Field(description="Name and version of what wrote it.")
    created_at: AwareDatetime = Field(description="When it was committed, UTC.")

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        numbers = [each.fragment for each in self.fragments]
        if (len(numbers), numbers[-1]) != (self.last - self.first + 1, self.last) or any(
            number != self.first + place for place, number in enumerate(numbers)
        ):
            raise ValueError("fragments are not exactly those from first to last")
        if self.frames != sum(each.frames for each in self.fragments):
            raise ValueError("frames are not the sum of the fragments' frames")
        if self.object_key != self.identity.object_key(self.container):
            raise ValueError("object_key is not the one of this identity")
        return self

    @property
    def identity(self) -> ClipIdentity:
        return ClipIdentity(self.camera, self.epoch, self.first, self.last, self.starts_at)


def read_manifest(body: bytes) -> Manifest:
    """A stored manifest. Raises BadMessage."""
    try:
        return Manifest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "manifest"
        raise BadMessage(f"{where}: {first['msg']}") from error
