"""What the API takes and gives, where several routes share it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import HTTPException, Path
from pydantic import BaseModel, Field

from shared.clock import from_milliseconds
from shared.identity import CAMERA_PATTERN, EPOCH_PATTERN
from shared.observation import Activity, Presence, View

Camera = Annotated[str, Path(pattern=f"^{CAMERA_PATTERN}$", description="Camera id.")]
Epoch = Annotated[str, Path(pattern=f"^{EPOCH_PATTERN}$", description="Epoch id.")]
First = Annotated[int, Path(ge=0, lt=1_000_000, description="First fragment of the clip.")]


class Span(BaseModel):
    """A time with footage."""

    starts_at: datetime = Field(description="Begin, UTC.")
    ends_at: datetime = Field(description="End, UTC.")
    seconds: float = Field(description="Length.")


class Hole(Span):
    """A time without footage."""

    cause: str = Field(description="Why, in few words that can be counted.")
    reason: str = Field(description="Why, in the words of the record.")
    captured: bool = Field(description="It was recorded, and is not stored.")


class Clip(BaseModel):
    """A committed clip."""

    epoch: str = Field(description="Epoch id.")
    first: int = Field(description="First fragment.")
    last: int = Field(description="Last fragment, included.")
    starts_at: datetime = Field(description="First frame, UTC.")
    ends_at: datetime = Field(description="End of the last frame, UTC.")
    frames: int = Field(description="Video frames.")
    bytes: int = Field(description="Size of the object.")
    container: Literal["mp4", "ts"] = Field(description="`ts`: the original bytes were kept.")
    codec: str = Field(description="`h264` or `hevc`.")
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    has_sound: bool = Field(description="There is an AAC track.")
    has_poster: bool = Field(description="There is a picture of its first frame.")
    is_held: bool = Field(description="Expiry spares it.")


class Note(BaseModel):
    """What was seen in a room, in one interval."""

    key: str = Field(description="Key of the result in the bucket.")
    camera: str = Field(description="Camera id.")
    starts_at: datetime = Field(description="Begin of the interval, UTC.")
    ends_at: datetime = Field(description="End of the interval, UTC.")
    activity: Activity = Field(description="What most of the children do.")
    other_activity: Activity | None = Field(description="What some others do.")
    children: Presence = Field(description="Children in the room.")
    adults: Presence = Field(description="Adults in the room.")
    view: View = Field(description="How well the room can be seen.")
    judged_by: str = Field(description="`local` (measured here) or `gemini`.")
    summary: str = Field(description="In plain words.")
    evidence: str = Field(description="What is to be seen in the pictures.")
    picture_at: datetime = Field(description="When the judged picture was taken, UTC.")
    remote_state: str | None = Field(description="How the remote provider was found, if asked.")
    remote_reason: str | None = Field(description="The same in a sentence.")


def clip(row: Any, held: set[str]) -> Clip:
    """From a row of the index."""
    return Clip(
        epoch=row["epoch"],
        first=row["first"],
        last=row["last"],
        starts_at=from_milliseconds(row["starts"]),
        ends_at=from_milliseconds(row["ends"]),
        frames=row["frames"],
        bytes=row["bytes"],
        container=row["container"],
        codec=row["codec"],
        width=row["width"],
        height=row["height"],
        has_sound=bool(row["has_sound"]),
        has_poster=row["poster_key"] is not None,
        is_held=row["key"] in held,
    )


def note(row: Any) -> Note:
    """From a row of the index."""
    return Note(
        key=row["key"],
        camera=row["camera"],
        starts_at=from_milliseconds(row["starts"]),
        ends_at=from_milliseconds(row["ends"]),
        activity=row["activity"],
        other_activity=row["other_activity"],
        children=row["children"],
        adults=row["adults"],
        view=row["view"],
        judged_by=row["judged_by"],
        summary=row["summary"],
        evidence=row["evidence"],
        picture_at=from_milliseconds(row["picture_at"]),
        remote_state=row["remote_state"],
        remote_reason=row["remote_reason"],
    )


def no_such(what: str) -> HTTPException:
    """404, in words."""
    return HTTPException(404, f"there is no such {what}")
