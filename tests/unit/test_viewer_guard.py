"""Every answer of the page is counted by the class of its status, and so is one that breaks off."""

import asyncio
from typing import Any

import pytest
from prometheus_client import REGISTRY
from starlette.types import Receive, Scope, Send

from shared.clock import SimulatedClock
from shared.log import get_logger
from viewer.guard import Guard

SCOPE = {"type": "http", "scheme": "http", "method": "GET", "path": "/login", "headers": []}


class NoSessions:
    """Nobody is logged in."""

    def find(self, _cookie: str | None) -> None:
        return None


def answers(status: str) -> float:
    return REGISTRY.get_sample_value("cradle_viewer_responses_total", {"status": status}) or 0.0


def ask(app: Any) -> None:
    sessions: Any = NoSessions()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def send(_message: Any) -> None:
        pass

    guard = Guard(app, sessions, SimulatedClock(), get_logger())
    asyncio.run(guard(dict(SCOPE), receive, send))


def answering(status: int, fault: Exception | None = None) -> Any:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        if status:
            await send({"type": "http.response.start", "status": status, "headers": []})
        if fault is not None:
            raise fault

    return app


@pytest.mark.parametrize(
    ("status", "name"), [(200, "2xx"), (303, "3xx"), (404, "4xx"), (503, "5xx")]
)
def test_an_answer_is_counted_by_its_class(status: int, name: str) -> None:
    before = answers(name)
    ask(answering(status))
    assert answers(name) == before + 1


def test_what_breaks_before_it_answers_is_an_error_of_the_page() -> None:
    before = answers("5xx")
    with pytest.raises(ZeroDivisionError):
        ask(answering(0, ZeroDivisionError()))
    assert answers("5xx") == before + 1


def test_what_breaks_behind_its_head_is_counted_once() -> None:
    before = answers("2xx"), answers("5xx")
    with pytest.raises(ZeroDivisionError):
        ask(answering(200, ZeroDivisionError()))
    assert (answers("2xx"), answers("5xx")) == (before[0] + 1, before[1])
