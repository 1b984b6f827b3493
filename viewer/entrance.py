"""Logging in and out, and making the first user."""

import hmac
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from shared.users import LEAST_PASSWORD, MOST_PASSWORD, PasswordRefused, User
from shared.viewersettings import Role, UserName
from viewer import context
from viewer.attempts import NAME
from viewer.context import Context
from viewer.guard import COOKIE, Watcher
from viewer.sessions import Session

router = APIRouter(prefix="/api", tags=["entrance"])

MOST_NAME: Final = 40


class Login(BaseModel):
    """What the log-in page sends."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=MOST_NAME, description="User name.")]
    password: Annotated[str, Field(min_length=1, max_length=MOST_PASSWORD, description="Password.")]


class FirstUser(BaseModel):
    """What the set-up page sends."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[UserName, Field(description="User name.")]
    password: Annotated[
        str,
        Field(min_length=LEAST_PASSWORD, max_length=MOST_PASSWORD, description="New password."),
    ]
    token: Annotated[
        str, Field(max_length=200, description="The one-time token that `cradle up` printed.")
    ]


class Entrance(BaseModel):
    """What the log-in page must know."""

    needs_setup: bool = Field(description="There is no user yet: the set-up page makes one.")


class Who(BaseModel):
    """The session of this browser."""

    name: str = Field(description="Who is logged in.")
    role: Role = Field(description="What they may do.")
    csrf_token: str = Field(description="To be sent as X-CSRF-Token with every change.")
    timezone: str = Field(description="What a day is for people.")
    now: datetime = Field(description="The server's clock, UTC.")
    ends_at: datetime = Field(description="When this session ends, UTC.")


@router.get("/entrance")
def entrance(request: Request) -> Entrance:
    """Is there anybody who could log in?"""
    return Entrance(needs_setup=not context.of(request).users)


@router.post("/session", responses={401: {}, 429: {}})
def log_in(given: Login, request: Request, response: Response) -> Who:
    """Log in; the cookie that comes back is the session."""
    here = context.of(request)
    subjects = (f"from {_address(request)}", f"{NAME}{given.name}")
    _demand_patience(here, *subjects)
    here.attempts.failed(*subjects)  # before it is checked: many at once are many
    user = here.users.check(given.name, given.password)
    if user is None:
        here.log.warning(
            "wrong password", action="session.refused", user=given.name, address=_address(request)
        )
        raise HTTPException(401, "wrong name or password")
    here.attempts.succeeded(*subjects)
    return _begin(here, user, request, response)


@router.post("/setup", responses={403: {}, 409: {}, 422: {}, 429: {}})
def set_up(given: FirstUser, request: Request, response: Response) -> Who:
    """Make the first user, an operator, with the one-time token that `cradle up` printed."""
    here = context.of(request)
    subject = f"set-up from {_address(request)}"
    _demand_patience(here, subject)
    if here.users:
        raise HTTPException(409, "there is a user already")
    token = here.settings.viewer.setup_token
    here.attempts.failed(subject)
    if token is None or not hmac.compare_digest(
        token.get_secret_value().encode(), given.token.encode()
    ):
        here.log.warning("wrong token", action="setup.refused", address=_address(request))
        raise HTTPException(403, "the link is not the one that `cradle up` printed")
    try:
        user = here.users.add(given.name, "operator", given.password, only_first=True)
    except PasswordRefused as error:
        raise HTTPException(422, str(error)) from None
    here.attempts.succeeded(subject)
    here.log.info("first user made", action="setup.done", user=user.name)
    return _begin(here, user, request, response)


@router.get("/session")
def session(session: Watcher, request: Request) -> Who:
    """Who is logged in here?"""
    return _who(context.of(request), session)


@router.delete("/session", status_code=204)
def log_out(session: Watcher, request: Request, response: Response) -> None:
    """End this session for good."""
    here = context.of(request)
    here.endings.end(session)
    here.log.info("logged out", action="session.ended", user=session.user.name)
    response.delete_cookie(COOKIE, path="/")


def _demand_patience(here: Context, *subjects: str) -> None:
    wait = here.attempts.wait_seconds(*subjects)
    if wait > 0:
        seconds = max(1, round(wait))
        raise HTTPException(
            429, f"too many attempts; wait {seconds} s", headers={"retry-after": str(seconds)}
        )


def _begin(here: Context, user: User, request: Request, response: Response) -> Who:
    cookie, begun = here.sessions.begin(user)
    response.set_cookie(
        COOKIE,
        cookie,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        max_age=round(here.settings.viewer.session_hours * 3600),
    )
    here.log.info(
        "logged in",
        action="session.begun",
        user=user.name,
        role=user.role,
        address=_address(request),
    )
    return _who(here, begun)


def _who(here: Context, session: Session) -> Who:
    return Who(
        name=session.user.name,
        role=session.user.role,
        csrf_token=session.csrf_token,
        timezone=here.settings.timezone,
        now=here.clock.now(),
        ends_at=datetime.fromtimestamp(session.ends_at, tz=here.clock.now().tzinfo),
    )


def _address(request: Request) -> str:
    return request.client.host if request.client else "?"
