"""What was seen: search in the notes, the judged pictures, and what today's judging has cost."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, Field

from shared.clock import from_milliseconds, milliseconds
from shared.identity import CAMERA_PATTERN
from shared.observation import Activity
from viewer import answers, context
from viewer.answers import Note, no_such
from viewer.context import Context
from viewer.guard import Watcher

router = APIRouter(prefix="/api/notes", tags=["notes"])

MOST: Final = 200
LEAST_INDEXED: Final = 3
"""Characters that the trigram index needs; shorter words are looked for row by row."""

Words = Annotated[str, Query(max_length=100, description="Text that must be in it.")]
CameraFilter = Annotated[str | None, Query(pattern=f"^{CAMERA_PATTERN}$", description="Camera.")]
Limit = Annotated[int, Query(ge=1, le=MOST, description="At most so many.")]


class Budget(BaseModel):
    """What judging by the remote provider has used of the UTC day, as its notes say."""

    requests: int = Field(description="Calls made.")
    tokens: int = Field(description="Tokens sent and received.")
    usd: float = Field(description="Money, by the configured prices.")
    requests_per_day: int = Field(description="Limit.")
    tokens_per_day: int = Field(description="Limit.")
    usd_per_day: float = Field(description="Limit.")
    ends_at: datetime = Field(description="When the next UTC day begins.")


class Provider(BaseModel):
    """How analysis is doing."""

    provider: Literal["off", "local", "gemini"] = Field(description="As configured.")
    state: str = Field(description="`ok`, `local`, `off`, `throttled`, `quota`, `misconfigured`...")
    reason: str = Field(description="The same in a sentence; empty if all is well.")
    until: datetime | None = Field(description="Not asked before this moment, UTC.")
    budget: Budget | None = Field(description="Null where no remote provider is asked.")


@router.get("")
def notes(
    session: Watcher,
    request: Request,
    camera: CameraFilter = None,
    activity: Activity | None = None,
    starts_at: Annotated[AwareDatetime | None, Query(alias="from")] = None,
    ends_at: Annotated[AwareDatetime | None, Query(alias="to")] = None,
    words: Words = "",
    limit: Limit = 50,
) -> list[Note]:
    """Notes, the newest first. For the next page, ask again with `to` = the last one's begin."""
    conditions: list[tuple[str, Any]] = []
    if camera is not None:
        conditions.append(("camera = ?", camera))
    if activity is not None:
        conditions.append(("? IN (activity, other_activity)", activity.value))
    if starts_at is not None:
        conditions.append(("starts >= ?", milliseconds(starts_at)))
    if ends_at is not None:
        conditions.append(("starts < ?", milliseconds(ends_at)))
    conditions += [_condition(word) for word in words.replace("\0", " ").split()[:10]]
    where = " AND ".join(condition for condition, _ in conditions) or "1"
    here = context.of(request)
    here.access.watched(session.user.name, camera or "*", "notes")
    rows = here.index.select(
        f"SELECT * FROM notes WHERE {where} ORDER BY starts DESC LIMIT ?",  # noqa: S608 - by `?`
        [*(value for _, value in conditions), limit],
    )
    return [answers.note(row) for row in rows]


def _condition(word: str) -> tuple[str, str]:
    if len(word) >= LEAST_INDEXED:
        quoted = '"' + word.replace('"', '""') + '"'
        return "id IN (SELECT rowid FROM words WHERE words MATCH ?)", quoted
    return "instr(summary || ' ' || evidence, ?) > 0", word


@router.get("/picture", response_class=Response, responses={404: {}})
def picture(
    session: Watcher,
    request: Request,
    key: Annotated[str, Query(max_length=300, description="Key of the note.")],
) -> Response:
    """The picture that was judged."""
    here = context.of(request)
    rows = here.index.select("SELECT camera, picture_key FROM notes WHERE key = ?", (key,))
    jpeg = here.store.read(rows[0]["picture_key"]) if rows else None
    if jpeg is None:
        raise no_such("picture")
    here.access.watched(session.user.name, rows[0]["camera"], "picture", key=key)
    return Response(jpeg, media_type="image/jpeg")


@router.get("/provider")
def provider(_session: Watcher, request: Request) -> Provider:
    """How analysis is doing, and what it has used today."""
    here = context.of(request)
    analysis = here.settings.analysis
    state, reason, until = _state(here)
    budget = _budget(here) if analysis.provider == "gemini" else None
    return Provider(
        provider=analysis.provider, state=state, reason=reason, until=until, budget=budget
    )


def _state(here: Context) -> tuple[str, str, datetime | None]:
    analysis = here.settings.analysis
    if analysis.provider != "gemini":
        return analysis.provider, "", None
    rows = here.index.select(
        "SELECT remote_state, remote_reason, remote_until FROM notes"
        " WHERE remote_state IS NOT NULL ORDER BY judged_at DESC LIMIT 1"
    )
    if not rows:
        return "unknown", "", None
    until = rows[0]["remote_until"]
    return (
        rows[0]["remote_state"],
        rows[0]["remote_reason"] or "",
        None if until is None else from_milliseconds(until),
    )


def _budget(here: Context) -> Budget:
    limits = here.settings.analysis.budget
    now = here.clock.now().astimezone(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    used = here.index.select(
        "SELECT coalesce(sum(requests), 0) AS requests, coalesce(sum(input_tokens), 0) AS sent,"
        " coalesce(sum(output_tokens), 0) AS received FROM notes WHERE judged_at >= ?",
        (milliseconds(midnight),),
    )[0]
    usd = (
        used["sent"] * limits.usd_per_million_input_tokens
        + used["received"] * limits.usd_per_million_output_tokens
    ) / 1e6
    return Budget(
        requests=used["requests"],
        tokens=used["sent"] + used["received"],
        usd=round(usd, 4),
        requests_per_day=limits.requests_per_day,
        tokens_per_day=limits.tokens_per_day,
        usd_per_day=limits.usd_per_day,
        ends_at=midnight + timedelta(days=1),
    )
