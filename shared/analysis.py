"""The stored result of one judged sample, and its key.

    analysis/<camera>/<YYYY>/<MM>/<DD>/<camera>_<time>_<epoch>_<first>-<last>.json    (+ .jpg)

The key follows from the sample's pictures alone, so a sample that comes twice meets its own result
and is not judged again. The picture is stored first: the JSON is the commit. It names the local
measurement always, the remote provider's words when there are any, and else why there are none.
"""

from importlib.metadata import version
from typing import Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from shared.errors import BadMessage
from shared.identity import day_prefix, stamp
from shared.messages import CameraId, EpochId, FragmentNumber, Sample, ShortText
from shared.observation import Observation, View
from shared.tracing import TraceId

SOFTWARE: Final = f"cradle {version('cradle')}"


class ResultPart(BaseModel):
    """Common to what a result is made of."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class JudgedPicture(ResultPart):
    """One picture of the sample."""

    epoch: EpochId = Field(description="Epoch id.")
    fragment: FragmentNumber = Field(description="Number of the fragment it begins.")
    captured_at: AwareDatetime = Field(description="Capture time, UTC.")


class Measured(ResultPart):
    """What OpenCV measured."""

    changed_share: float = Field(description="Largest share (0..1) that changed between pictures.")
    brightness: float = Field(description="Mean brightness (0..255) of the last picture.")
    spread: float = Field(description="Standard deviation of its brightness.")
    view: View = Field(description="How well the room can be seen, by these numbers.")


class Remote(ResultPart):
    """What came of the remote provider, where one is configured."""

    state: str = Field(description="`ok`, or why there is no remote observation, in one word.")
    reason: ShortText = Field("", description="The same in a sentence.")
    until: AwareDatetime | None = Field(None, description="Not asked before this moment, UTC.")
    model: str = Field(description="Model that was or would have been asked.")
    requests: int = Field(0, description="Calls made for this sample by the last attempt.")
    input_tokens: int = Field(0, description="Tokens sent, as the provider counted.")
    output_tokens: int = Field(0, description="Tokens received, thinking included.")


class Result(ResultPart):
    """One judged sample."""

    schema_: Literal[1] = Field(1, alias="schema", description="Major version of the format.")
    kind: Literal["analysis"] = "analysis"
    camera: CameraId = Field(description="Camera id.")
    starts_at: AwareDatetime = Field(description="Start of the interval, UTC.")
    ends_at: AwareDatetime = Field(description="End of the interval, UTC.")
    judged_at: AwareDatetime = Field(description="When it was judged, UTC.")
    judged_by: Literal["local", "gemini"] = Field(description="Whose observation this is.")
    language: Literal["ko", "en"] = Field(description="Language of the texts.")
    heartbeat: bool = Field(description="It would have been judged unchanged, too.")
    observation: Observation = Field(description="What was seen.")
    measured: Measured = Field(description="What OpenCV measured.")
    remote: Remote | None = Field(description="Null where no remote provider is configured.")
    pictures: list[JudgedPicture] = Field(description="What was judged, oldest first.")
    picture_key: str = Field(description="Key of the picture that changed most, masks drawn.")
    picture_at: AwareDatetime = Field(description="When that picture was taken, UTC.")
    worker: ShortText = Field(description="Name of the worker.")
    trace_id: TraceId | None = Field(None, description="Trace that tells how it came, if any.")
    software: str = Field(description="Name and version of what wrote it.")

    def to_body(self) -> bytes:
        """As it is stored: UTF-8 JSON."""
        return self.model_dump_json(by_alias=True).encode()


def read_result(body: bytes) -> Result:
    """A stored result. Raises BadMessage."""
    try:
        return Result.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "result"
        raise BadMessage(f"{where}: {first['msg']}") from error


def result_key(sample: Sample, suffix: Literal["json", "jpg"] = "json") -> str:
    """Where the result of a sample lies."""
    first, last = sample.pictures[0], sample.pictures[-1]
    until = (
        f"{last.fragment:06d}" if last.epoch == first.epoch else f"{last.epoch}_{last.fragment:06d}"
    )
    identity = f"{first.epoch}_{first.fragment:06d}-{until}"
    prefix = day_prefix("analysis", sample.camera, first.captured_at)
    return f"{prefix}{sample.camera}_{stamp(first.captured_at)}_{identity}.{suffix}"
