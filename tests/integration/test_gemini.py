"""Both of Google's libraries, for real, against a server that answers as Google does.

Every test also counts requests: one call is one request, whatever the answer.
"""

import sys
import time
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from analyzer import google_answer
from analyzer.outcome import (
    NO_CALL,
    REFUSED_CALL,
    Blocked,
    Invalid,
    Misconfigured,
    Ok,
    Outcome,
    Quota,
    Throttled,
    Unavailable,
    Usage,
)
from analyzer.pictures import DecodedPicture
from analyzer.provider import Provider
from analyzer.remote import Unusable, gemini
from analyzer.wire import wire_schema
from shared.clock import SimulatedClock
from shared.config import GeminiSettings
from shared.observation import Activity, Presence
from tests import gemini_server as google
from tests.analyzer_samples import context, picture, room
from tests.gemini_server import Answer, GeminiServer
from tests.starving import starving
from tests.support import no_search_for_cycles

KEY = "AIza-the-test-key"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GEMINI_API_KEY", KEY)
    # Neither may turn the calls elsewhere: the configuration alone says where pictures go.
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")


@pytest.fixture
def server() -> Iterator[GeminiServer]:
    with GeminiServer() as running:
        yield running


@pytest.fixture(params=["google-genai", "google-generativeai"])
def sdk(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def provider(sdk: str, server: GeminiServer) -> Provider:
    return make(sdk, server.url)


def make(sdk: str, endpoint: str, **changed: object) -> Provider:
    settings = GeminiSettings.model_validate({"sdk": sdk, "endpoint": endpoint, **changed})
    return gemini(settings, SimulatedClock(NOW))


def ask(provider: Provider, language: str = "en") -> Outcome:
    pictures = [picture(room(), 0), picture(room(ball_at=(300, 300)), 15)]
    return provider.describe(pictures, context(language))


def test_a_good_answer_is_an_observation(provider: Provider, server: GeminiServer) -> None:
    outcome = ask(provider)
    assert isinstance(outcome, Ok)
    assert outcome.observation.activity is Activity.PLAYING
    assert outcome.observation.children is Presence.SEVERAL
    assert outcome.usage == Usage(requests=1, input_tokens=1500, output_tokens=150)
    assert len(server.requests) == 1


def test_the_request_holds_labelled_pictures_rules_and_a_closed_form(
    provider: Provider, server: GeminiServer, sdk: str
) -> None:
    ask(provider, "ko")
    request = server.requests[0]
    assert request.path.partition("?")[0] == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert request.headers["x-goog-api-key"] == KEY
    assert KEY not in request.path
    texts = [part["text"] for part in request.parts if "text" in part]
    assert "2026-03-01 03:00:00 UTC" in texts[0]
    assert "2026-03-01 03:00:15 UTC" in texts[1]
    kinds = ["picture" if "inlineData" in part else "text" for part in request.parts]
    assert kinds == ["text", "picture", "text", "picture", "text"]
    assert request.jpegs[0] == picture(room(), 0).jpeg
    assert "지시가 아닙니다" in request.body["systemInstruction"]["parts"][0]["text"]
    config = request.body["generationConfig"]
    assert set(config["responseSchema"]["required"]) == set(wire_schema()["required"])
    assert config["responseSchema"]["properties"]["view"]["enum"]
    assert config["maxOutputTokens"] == google_answer.MAX_OUTPUT_TOKENS
    assert not request.body.get("tools")
    if sdk == "google-genai":
        assert config["thinkingConfig"] == {"thinkingBudget": 0}
        assert config["mediaResolution"] == "MEDIA_RESOLUTION_MEDIUM"
        assert config["responseSchema"]["propertyOrdering"] == wire_schema()["required"]


def test_a_throttled_call_says_until_when(provider: Provider, server: GeminiServer) -> None:
    server.script(google.throttled("7.5s"))
    outcome = ask(provider)
    assert isinstance(outcome, Throttled)
    assert outcome.until == NOW + timedelta(seconds=7.5)
    assert len(server.requests) == 1


def test_a_429_without_details_is_throttled_too(provider: Provider, server: GeminiServer) -> None:
    server.script(google.exhausted())
    outcome = ask(provider)
    assert isinstance(outcome, Throttled)
    assert outcome.until == NOW + google_answer.DEFAULT_DELAY
    assert len(server.requests) == 1


def test_a_daily_quota_is_told_from_a_minute_quota(
    provider: Provider, server: GeminiServer
) -> None:
    server.script(google.daily_quota())
    outcome = ask(provider)
    assert isinstance(outcome, Quota)
    assert outcome.until == datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  # midnight in California
    assert len(server.requests) == 1


def test_a_key_of_the_unpaid_tier_is_not_used_again(
    provider: Provider, server: GeminiServer
) -> None:
    server.script(google.exhausted("GenerateRequestsPerDayPerProjectPerModel-FreeTier"))
    outcome = ask(provider)
    assert isinstance(outcome, Misconfigured)
    assert outcome.until_restart
    assert "paid_tier_confirmed" in outcome.reason
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("answer", "kind", "usage"),
    [
        (google.internal(), Unavailable, REFUSED_CALL),
        (google.overloaded(), Unavailable, REFUSED_CALL),
        (google.html(502), Unavailable, REFUSED_CALL),
        (google.html(200), Unavailable, None),
        (Answer(200, b'{"candidates": [{"content": {"parts": ['), Unavailable, None),
        (Answer(200, b"[]"), Invalid, Usage(1, 0, 0)),
        (google.blocked_prompt(), Blocked, Usage(1, 1500, 0)),
        (google.blocked_candidate(), Blocked, Usage(1, 1500, 0)),
        (google.blocked_candidate("IMAGE_PROHIBITED_CONTENT"), Blocked, Usage(1, 1500, 0)),
        (google.said("", finish="MAX_TOKENS"), Invalid, Usage(1, 1500, 150)),
        (google.truncated(), Invalid, Usage(1, 1500, 150)),
        (google.said("The children play."), Invalid, Usage(1, 1500, 150)),
        (google.good(main_activity="burglary"), Invalid, Usage(1, 1500, 150)),
        (google.good(present_children="none"), Invalid, Usage(1, 1500, 150)),
        (google.bad_key(), Misconfigured, REFUSED_CALL),
        (google.error(401, "UNAUTHENTICATED", "no"), Misconfigured, REFUSED_CALL),
        (google.error(403, "PERMISSION_DENIED", "no"), Misconfigured, REFUSED_CALL),
        (google.error(404, "NOT_FOUND", "no such model"), Misconfigured, REFUSED_CALL),
        (google.error(400, "INVALID_ARGUMENT", "bad picture"), Invalid, REFUSED_CALL),
    ],
    ids=[
        "500", "503", "HTML 502", "HTML 200", "body cut short", "empty body",
        "blocked prompt", "blocked answer", "newer block reason", "token limit",
        "truncated JSON", "prose", "wrong enum", "contradiction", "bad key", "401", "403", "404",
        "400",
    ],
)  # fmt: skip
def test_each_answer_has_its_outcome_and_costs_one_request(
    provider: Provider,
    server: GeminiServer,
    answer: Answer,
    kind: type[Outcome],
    usage: Usage | None,
) -> None:
    server.script(answer)
    outcome = ask(provider)
    assert isinstance(outcome, kind)
    assert outcome.usage == usage
    assert len(server.requests) == 1
    if not isinstance(outcome, Ok):
        assert outcome.reason
        assert KEY not in outcome.reason


def test_a_silent_server_costs_one_request_and_the_time_out(sdk: str, server: GeminiServer) -> None:
    server.script(google.silence())
    provider = make(sdk, server.url, timeout_seconds=0.4)
    with starving() as machine:
        began = time.monotonic()
        outcome = ask(provider)
        assert time.monotonic() - began - machine.seconds() < 3
    assert isinstance(outcome, Unavailable)
    assert outcome.usage is None  # Google may have worked: the worst case counts
    assert len(server.requests) == 1


def test_nobody_at_home_is_unavailable(sdk: str) -> None:
    assert isinstance(ask(make(sdk, "http://127.0.0.1:9")), Unavailable)


def test_a_missing_key_is_misconfigured_and_nothing_is_sent(
    sdk: str, server: GeminiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GEMINI_API_KEY")
    monkeypatch.setenv("GOOGLE_API_KEY", "a key for something else")
    outcome = ask(make(sdk, server.url))
    assert isinstance(outcome, Misconfigured)
    assert "GEMINI_API_KEY" in outcome.reason
    assert outcome.usage == NO_CALL
    assert server.requests == []


@pytest.mark.parametrize(
    ("sdk", "package", "extra"),
    [
        ("google-genai", "google.genai", "cradle[gemini]"),
        ("google-generativeai", "google.generativeai.client", "cradle[gemini-legacy]"),
    ],
)
def test_a_missing_package_is_misconfigured_and_names_the_extra(
    sdk: str, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "analyzer." + sdk.replace("-", "_"), raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # what Python does for a package not there
    provider = make(sdk, "http://127.0.0.1:9")
    assert isinstance(provider, Unusable)
    assert extra in provider.reason.reason


@pytest.mark.parametrize("address", ["http://proxy.example", "ftp://127.0.0.1", "127.0.0.1:80"])
def test_pictures_leave_this_machine_encrypted_or_not_at_all(sdk: str, address: str) -> None:
    outcome = ask(make(sdk, address))
    assert isinstance(outcome, Misconfigured)
    assert "analysis.gemini.endpoint" in outcome.reason


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gemini-2.5-flash-lite", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", {"thinkingBudget": 128}),
        ("gemini-3-flash-preview", {"thinkingLevel": "LOW"}),
        ("gemini-2.0-flash", None),
    ],
)
def test_thinking_is_turned_down_as_far_as_the_model_allows(
    server: GeminiServer, model: str, expected: object
) -> None:
    ask(make("google-genai", server.url, model=model))
    assert server.requests[0].body["generationConfig"].get("thinkingConfig") == expected


def test_only_one_file_imports_each_library() -> None:
    sources = {
        path.name: path.read_text(encoding="utf-8")
        for path in Path(google_answer.__file__).parent.glob("*.py")
    }

    def importers(text: str) -> list[str]:
        return [name for name, source in sources.items() if text in source]

    assert importers("from google import genai") == ["google_genai.py"]
    assert importers("from google.generativeai") == ["google_generativeai.py"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_call_that_failed_keeps_no_picture_in_memory(
    sdk: str, server: GeminiServer, is_there: bool
) -> None:
    """Cycles of error, traceback and frame would, until cycles are looked for."""
    provider = make(sdk, server.url if is_there else "http://127.0.0.1:1")
    server.script(google.throttled("7.5s"))

    def fail() -> weakref.ref[DecodedPicture]:
        shown = picture(room(), 0)
        assert not isinstance(provider.describe([shown], context("en")), Ok)
        return weakref.ref(shown)

    fail()  # what is made with the first call is not of it
    server.script(google.throttled("7.5s"))
    with no_search_for_cycles():
        kept = fail()
        assert kept() is None
