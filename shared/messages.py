"""Every message that crosses the broker, as pydantic models: JSON, `schema: 1`.

A stage may add fields within schema 1 (readers ignore what they do not know); a message of another
schema is refused with `BadMessage` and goes to `cradle.lost`. A reference names bytes in the frame
store by identity; its path must be the one that the identity gives, so that no message can point
outside the store or into another camera's folder.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from shared.errors import BadMessage
from shared.identity import CAMERA_PATTERN, EPOCH_PATTERN, fragment_path

SCHEMA: Final = 1
MAX_MESSAGE_BYTES = 256 * 1024
MAX_FRAGMENT_BYTES = 1024 * 1024 * 1024
MAX_SESSIONS: Final = 500
"""In one message."""

CameraId = Annotated[str, StringConstraints(pattern=rf"^{CAMERA_PATTERN}$")]
Moment = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(9000, 1, 1, tzinfo=UTC))
]
"""Far enough from the ends of the calendar that no arithmetic on it can overflow."""
EpochId = Annotated[str, StringConstraints(pattern=rf"^{EPOCH_PATTERN}$")]
MAX_FRAGMENTS: Final = 1_000_000
"""Of one epoch. Twelve hours of the shortest fragments (0.4 s) are 108,000."""
FragmentNumber = Annotated[int, Field(ge=0, lt=MAX_FRAGMENTS)]
Bytes = Annotated[int, Field(ge=0, le=MAX_FRAGMENT_BYTES)]
ShortText = Annotated[str, StringConstraints(max_length=300)]


class Stage(StrEnum):
    """The stages of the house, by the name of their folder."""

    INGEST = "ingest"
    ENCODER = "encoder"
    ARCHIVER = "archiver"
    ANALYZER = "analyzer"
    VIEWER = "viewer"


class Message(BaseModel):
    """Common to all messages."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    schema_: Literal[1] = Field(SCHEMA, alias="schema", description="Major version of the format.")

    def to_body(self) -> bytes:
        """The message as it travels: UTF-8 JSON."""
        return self.model_dump_json(by_alias=True).encode()


class StreamParameters(BaseModel):
    """What an epoch's packets are. Constant inside an epoch: a change begins a new one."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    video_codec: Literal["h264", "hevc"] = Field(description="Codec of the carried video.")
    width: int = Field(ge=0, le=16384, description="Picture width in pixels, 0 if not known.")
    height: int = Field(ge=0, le=16384, description="Picture height in pixels, 0 if not known.")
    frames_per_second: float = Field(ge=0, le=1000, description="As announced; 0 if not known.")
    audio_codec: Literal["aac"] | None = Field(description="`aac`, or null without sound.")


class FragmentReference(Message):
    """Names one fragment of the frame store."""

    camera: CameraId = Field(description="Camera id.")
    epoch: EpochId = Field(description="Epoch id.")
    fragment: FragmentNumber = Field(description="Number of the fragment in its epoch, from 0.")
    path: str = Field(max_length=200, description="Where it lies, relative to `frames.url`.")

    @model_validator(mode="after")
    def _path_follows_from_identity(self) -> Self:
        if self.path != fragment_path(self.camera, self.epoch, self.fragment):
            raise ValueError("path is not the one of this camera, epoch and fragment")
        return self


class Batch(FragmentReference):
    """Consecutive frames of a fragment that is still growing. The unit of live."""

    kind: Literal["batch"] = "batch"
    part: int = Field(ge=0, le=10**6, description="Number of the batch in its fragment, from 0.")
    offset: Bytes = Field(description="First byte in the fragment's file.")
    bytes: Annotated[int, Field(gt=0, le=MAX_FRAGMENT_BYTES)] = Field(description="How many.")
    frames: int = Field(ge=0, le=10**6, description="Video frames that begin in these bytes.")
    captured_at: Moment = Field(description="Capture time of the first frame, UTC.")
    written_at: Moment = Field(description="When these bytes were in the store, UTC.")
    stream: StreamParameters = Field(description="Parameters of the epoch.")


class Fragment(FragmentReference):
    """A closed fragment. The unit of the archive."""

    kind: Literal["fragment"] = "fragment"
    bytes: Annotated[int, Field(gt=0, le=MAX_FRAGMENT_BYTES)] = Field(description="Size of file.")
    frames: int = Field(gt=0, le=10**6, description="Video frames in it.")
    captured_at: Moment = Field(description="Capture time of the first frame, UTC.")
    duration_seconds: float = Field(
        ge=0, le=86400, description="From its first frame to the end of its last."
    )
    key_frame_bytes: Bytes = Field(
        description="The first bytes, up to the end of the key frame; enough for a picture."
    )
    stream: StreamParameters = Field(description="Parameters of the epoch.")

    @property
    def ends_at(self) -> datetime:
        """Capture time of the end of its last frame, UTC."""
        return self.captured_at + timedelta(seconds=self.duration_seconds)


class EpochEnd(Message):
    """The last word of an epoch: no fragment of it follows."""

    kind: Literal["epoch-end"] = "epoch-end"
    camera: CameraId = Field(description="Camera id.")
    epoch: EpochId = Field(description="Epoch id.")
    fragments: int = Field(
        ge=0, le=MAX_FRAGMENTS, description="How many fragments the epoch has: 0..fragments-1."
    )
    ended_at: Moment = Field(description="Capture time of the end of its last frame, UTC.")
    reason: ShortText = Field(description="Why it ended, in words.")


class Picture(FragmentReference):
    """One key frame of the frame store."""

    bytes: Annotated[int, Field(gt=0, le=MAX_FRAGMENT_BYTES)] = Field(
        description="The fragment's first bytes, up to the end of its key frame."
    )
    captured_at: Moment = Field(description="Capture time, UTC.")


class Sample(Message):
    """Key frames of one interval, chosen for analysis."""

    kind: Literal["sample"] = "sample"
    camera: CameraId = Field(description="Camera id.")
    starts_at: Moment = Field(description="Start of the interval, UTC.")
    ends_at: Moment = Field(description="End of the interval, UTC.")
    pictures: list[Picture] = Field(min_length=1, max_length=16, description="Oldest first.")
    previous: Picture | None = Field(description="Last picture of the interval before, if any.")
    heartbeat: bool = Field(description="Judge this one even if nothing has changed.")


class Event(Message):
    """Something happened that other stages or people may want to know."""

    kind: Literal["event"] = "event"
    stage: Stage = Field(description="Who says so.")
    worker: ShortText = Field(description="Name of the worker.")
    camera: CameraId = Field(description="About which camera.")
    event: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z-]{0,39}$")] = Field(
        description="What happened: `online`, `offline`, `stored`, `described`, ..."
    )
    at: Moment = Field(description="When, UTC.")
    detail: dict[str, JsonValue] = Field(default_factory=dict, description="Facts of this event.")

    @property
    def routing_key(self) -> str:
        return f"{self.stage}.{self.camera}.{self.event}"


class EndedSession(BaseModel):
    """A log-in to the page that was ended before its time."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the session's id: whoever reads this can do nothing with it."
    )
    forget_at: Moment = Field(description="When it would have ended by itself, UTC.")


class SessionsEnded(Message):
    """Log-outs, told by one replica of the page to all others; about no camera."""

    kind: Literal["sessions-ended"] = "sessions-ended"
    worker: ShortText = Field(description="Name of the replica.")
    sessions: list[EndedSession] = Field(max_length=MAX_SESSIONS, description="Which.")

    routing_key: ClassVar[str] = f"{Stage.VIEWER}.sessions.ended"


ArchiveMessage = Annotated[Fragment | EpochEnd, Field(discriminator="kind")]

_archive = TypeAdapter[Fragment | EpochEnd](ArchiveMessage)
_batch = TypeAdapter(Batch)
_sample = TypeAdapter(Sample)
_event = TypeAdapter(Event)
_told = TypeAdapter[Event | SessionsEnded](
    Annotated[Event | SessionsEnded, Field(discriminator="kind")]
)


def _read(adapter: TypeAdapter[Any], body: bytes) -> Any:
    if len(body) > MAX_MESSAGE_BYTES:
        raise BadMessage(f"message of {len(body)} bytes is over the limit of {MAX_MESSAGE_BYTES}")
    try:
        return adapter.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "message"
        raise BadMessage(f"{where}: {first['msg']}") from error


def read_archive_message(body: bytes) -> Fragment | EpochEnd:
    """A message of `archiver.<camera>`. Raises BadMessage."""
    message: Fragment | EpochEnd = _read(_archive, body)
    return message


def read_batch(body: bytes) -> Batch:
    """A message of `encoder.<camera>`. Raises BadMessage."""
    message: Batch = _read(_batch, body)
    return message


def read_sample(body: bytes) -> Sample:
    """A message of `analyzer`. Raises BadMessage."""
    message: Sample = _read(_sample, body)
    return message


def read_event(body: bytes) -> Event:
    """A message of `cradle.events`. Raises BadMessage."""
    message: Event = _read(_event, body)
    return message


def read_told(body: bytes) -> Event | SessionsEnded:
    """A message of `cradle.events`, for the page. Raises BadMessage."""
    message: Event | SessionsEnded = _read(_told, body)
    return message
