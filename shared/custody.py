"""Custody records: why footage is not there, beside the clips that are.

    custody/<camera>/<YYYY>/<MM>/<DD>/<camera>_<time>_<what>.json

Epochs begun and ended (the archiver), fragments that were deleted or lost before they were stored
(ingest's janitor, the archiver), windows without footage (the archiver). Together with the
manifests they say of every second of a day that it is stored, or why it is not. Records are
created once, under a key that follows from what they say, and never expire. One that was not true
stays: a second one, under a key of its own, says what it corrects.
"""

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Literal, Protocol

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from shared.errors import AlreadyExists, BadMessage
from shared.identity import day_prefix, epoch_started_at, stamp
from shared.messages import CameraId, EpochId, FragmentNumber, ShortText, Stage, StreamParameters


class Record(BaseModel):
    """Common to all custody records."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    schema_: Literal[1] = Field(1, alias="schema", description="Major version of the format.")
    camera: CameraId = Field(description="Camera id.")

    @property
    @abstractmethod
    def _when(self) -> datetime: ...

    @property
    @abstractmethod
    def _what(self) -> str: ...

    @property
    def key(self) -> str:
        """Where it is stored: two records of the same thing have the same key."""
        folder = day_prefix("custody", self.camera, self._when)
        return f"{folder}{self.camera}_{stamp(self._when)}_{self._what}.json"

    def to_body(self) -> bytes:
        """As it is stored: UTF-8 JSON."""
        return self.model_dump_json(by_alias=True).encode()


class EpochBegun(Record):
    """A source began to deliver."""

    kind: Literal["epoch-begun"] = "epoch-begun"
    epoch: EpochId = Field(description="Epoch id.")
    stream: StreamParameters = Field(description="Parameters of the epoch.")

    @property
    def _when(self) -> datetime:
        return epoch_started_at(self.epoch)

    @property
    def _what(self) -> str:
        return f"{self.epoch}_begun"


class EpochEnded(Record):
    """A source stopped delivering; until the next epoch there is no footage, for this reason."""

    kind: Literal["epoch-ended"] = "epoch-ended"
    epoch: EpochId = Field(description="Epoch id.")
    fragments: int = Field(ge=0, description="How many fragments the epoch had.")
    ended_at: AwareDatetime = Field(description="End of its last frame, UTC.")
    reason: ShortText = Field(description="Why it ended, in words.")
    corrects: AwareDatetime | None = Field(
        None,
        description="`ended_at` of the record of this epoch that was not true, if there is one.",
    )

    @property
    def _when(self) -> datetime:
        return self.ended_at

    @property
    def _what(self) -> str:
        if self.corrects is None:
            return f"{self.epoch}_ended"
        return f"{self.epoch}_{self.fragments:06d}_ended-not-{stamp(self.corrects)}"


class FragmentsLost(Record):
    """Fragments that no clip holds and none will."""

    kind: Literal["fragments-lost"] = "fragments-lost"
    epoch: EpochId = Field(description="Epoch id.")
    first: FragmentNumber = Field(description="First fragment.")
    last: FragmentNumber = Field(description="Last fragment, included.")
    starts_at: AwareDatetime = Field(description="Where the footage that is missing began, UTC.")
    ends_at: AwareDatetime = Field(description="Where it ended, UTC.")
    by: Stage = Field(description="Who deleted them, or found them missing.")
    reason: ShortText = Field(description="Why, in words: quota, retention, ...")

    @property
    def _when(self) -> datetime:
        return self.starts_at

    @property
    def _what(self) -> str:
        return f"{self.epoch}_{self.first:06d}-{self.last:06d}_lost"


class FragmentsFound(Record):
    """Fragments that a record calls lost, and that a clip holds after all."""

    kind: Literal["fragments-found"] = "fragments-found"
    epoch: EpochId = Field(description="Epoch id.")
    first: FragmentNumber = Field(description="First fragment.")
    last: FragmentNumber = Field(description="Last fragment, included.")
    starts_at: AwareDatetime = Field(description="Of the record that was not true, UTC.")
    corrects: str = Field(description="Key of the record that was not true.")

    @property
    def _when(self) -> datetime:
        return self.starts_at

    @property
    def _what(self) -> str:
        return f"{self.epoch}_{self.first:06d}-{self.last:06d}_found"


class EmptyWindow(Record):
    """A wall-clock slot in which nothing was captured."""

    kind: Literal["window-empty"] = "window-empty"
    starts_at: AwareDatetime = Field(description="Start of the slot, UTC.")
    ends_at: AwareDatetime = Field(description="End of the slot, UTC.")
    reason: ShortText = Field(description="Why, as far as it is known.")

    @property
    def _when(self) -> datetime:
        return self.starts_at

    @property
    def _what(self) -> str:
        return "window"


CustodyRecord = EpochBegun | EpochEnded | FragmentsLost | FragmentsFound | EmptyWindow

_custody = TypeAdapter[CustodyRecord](Annotated[CustodyRecord, Field(discriminator="kind")])


class CreateOnly(Protocol):
    """The part of the object store that records need."""

    def create_bytes(
        self,
        key: str,
        data: bytes,
        *,
        content_type: str,
        metadata: Mapping[str, str] | None = None,
    ) -> bool: ...


def write_custody(store: CreateOnly, record: CustodyRecord) -> bool:
    """Create a record; False if one of the same thing was there: the first word stands.

    Raises StoreUnavailable.
    """
    try:
        return store.create_bytes(record.key, record.to_body(), content_type="application/json")
    except AlreadyExists:
        return False


def read_custody(body: bytes) -> CustodyRecord:
    """A stored record. Raises BadMessage."""
    try:
        return _custody.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "record"
        raise BadMessage(f"{where}: {first['msg']}") from error
