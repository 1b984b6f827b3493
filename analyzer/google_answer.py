"""What Google's Gemini API answers, read the same way for both of its libraries.

Answers come with a finish or block reason and perhaps text; errors as `google.rpc.Status` with
details: `RetryInfo.retryDelay` says how long to wait, `QuotaFailure.violations[].quotaId` whether
a minute or a day is used up (`...PerDay...`; a day's retryDelay is misleadingly short), and
whether the key is of the unpaid tier (`...-FreeTier`), whose terms rule out such pictures. Daily
quotas begin anew at midnight Pacific time (source: "Rate limits" of the Gemini API).
"""

import os
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from analyzer.outcome import (
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
from analyzer.wire import WireObservation, plain_text
from shared.config import GeminiSettings
from shared.log import redact

ENDPOINT = "https://generativelanguage.googleapis.com"
MAX_OUTPUT_TOKENS = 8192
"""Thinking counts toward it; an answer has about 300."""
TEMPERATURE = 0.2
DEFAULT_DELAY = timedelta(seconds=30)
"""When Google asks to wait and does not say how long: half of its minute."""
LONGEST_DELAY = timedelta(hours=1)
REASON_CHARACTERS = 200

_QUOTA_DAY = ZoneInfo("America/Los_Angeles")
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")
_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def api_key(settings: GeminiSettings) -> str | Misconfigured:
    """The key from the environment."""
    key = os.environ.get(settings.api_key_env, "").strip()
    if key:
        return key
    return Misconfigured(
        f"analysis.gemini.api_key_env: the variable {settings.api_key_env} is not set; "
        "export the key and start the analyzer again",
        until_restart=True,
    )


def endpoint(settings: GeminiSettings) -> str | Misconfigured:
    """Where to send. Pictures of children go unencrypted to this machine only."""
    address = settings.endpoint or ENDPOINT
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return address.rstrip("/")
    return Misconfigured(
        "analysis.gemini.endpoint: must begin with https:// (http:// on this machine only)",
        until_restart=True,
    )


def missing_package(package: str, extra: str) -> Misconfigured:
    return Misconfigured(
        f"analysis.gemini.sdk: the package {package} is not installed; "
        f"`pip install cradle[{extra}]` and start the analyzer again",
        until_restart=True,
    )


def outcome_of_answer(
    block_reason: str, finish_reason: str, text: str, usage: Usage
) -> Ok | Blocked | Invalid:
    """Read a 200. The reasons are Google's enum names, empty if it gave none."""
    if block_reason:
        return Blocked(f"Google does not look at these pictures: {block_reason}", usage)
    if finish_reason == "MAX_TOKENS":
        return Invalid("the answer was cut at the token limit", usage)
    if finish_reason not in {"", "STOP", "FINISH_REASON_UNSPECIFIED"}:
        return Blocked(f"Google broke off its answer: {finish_reason}", usage)
    if not text.strip():
        return Invalid("the answer is empty", usage)
    try:
        return Ok(WireObservation.model_validate_json(text).to_observation(), usage)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "answer"
        return Invalid(f"{where}: {first['msg']}", usage)


def outcome_of_error(status: int, payload: Any, now: datetime) -> Outcome:
    """Read any other status. `payload` is the JSON body, or anything when it was none."""
    error = _error(payload)
    message = plain_text(redact(str(error.get("message") or "no message")), REASON_CHARACTERS)
    details = [each for each in _list(error.get("details")) if isinstance(each, Mapping)]
    if status == 429:
        return _exhausted(message, details, now)
    if status in {401, 403, 404} or any(
        each.get("reason") == "API_KEY_INVALID" for each in details
    ):
        return Misconfigured(
            f"Google refuses the key or the model ({status}: {message}); "
            "check analysis.gemini.api_key_env and analysis.gemini.model",
            usage=REFUSED_CALL,
        )
    if status == 400 and error.get("status") == "FAILED_PRECONDITION":
        return Misconfigured(f"Google refuses this account: {message}", usage=REFUSED_CALL)
    if status >= 500 or status == 408:
        return Unavailable(f"Google answered {status}: {message}")
    return Invalid(f"Google refused the request with {status}: {message}")


def _exhausted(message: str, details: list[Mapping[str, Any]], now: datetime) -> Outcome:
    violations = [each for detail in details for each in _list(detail.get("violations"))]
    quotas = [str(each.get("quotaId", "")) for each in violations if isinstance(each, Mapping)]
    if any("FreeTier" in quota for quota in quotas):
        return Misconfigured(
            "analysis.gemini.paid_tier_confirmed: Google counts this key to its unpaid tier, "
            "whose terms rule out such pictures; turn on billing and start the analyzer again",
            until_restart=True,
            usage=REFUSED_CALL,
        )
    if any("PerDay" in quota for quota in quotas):
        return Quota(f"Google's quota of the day is used up: {message}", next_quota_day(now))
    delays = [_DELAY.fullmatch(str(each.get("retryDelay", ""))) for each in details]
    delay = next((timedelta(seconds=float(each[1])) for each in delays if each), DEFAULT_DELAY)
    return Throttled(f"Google asks to wait: {message}", now + min(delay, LONGEST_DELAY))


def next_quota_day(now: datetime) -> datetime:
    """When Google's next quota day begins, in the zone of `now`."""
    tomorrow = now.astimezone(_QUOTA_DAY).date() + timedelta(days=1)
    midnight = datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=_QUOTA_DAY)
    return midnight.astimezone(now.tzinfo)


def no_answer(error: Exception) -> Unavailable:
    """The connection failed or timed out: Google may have worked, so the usage is unknown."""
    text = plain_text(redact(str(error)), REASON_CHARACTERS)
    return Unavailable(f"Google did not answer ({type(error).__name__}: {text})", usage=None)


def not_google(error: Exception) -> Unavailable:
    """A 200 whose body is not Google's: a proxy or a portal stands in between."""
    return Unavailable(
        f"the answer is not one of Google's API ({type(error).__name__})", usage=None
    )


def _error(payload: Any) -> Mapping[str, Any]:
    """The `error` of a body; some answers wrap it in a list, a proxy's have none."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, Mapping):
        return {}
    inner = payload.get("error", payload)
    return inner if isinstance(inner, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
