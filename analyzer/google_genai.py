"""Gemini through google-genai, Google's current library. The only file that imports it.

Loaded by `remote.py` when the configuration asks for it, so an analyzer that judges on its own
machine never needs the package. The library's retries are off, thinking and picture tokens are
turned down (the two levers of cost), and the answer's text is parsed by `google_answer`: the
library's own `.parsed` is silently None on bad JSON.
"""

import importlib
import re
from collections.abc import Sequence
from typing import Any

from google import genai
from google.genai import errors, types

from analyzer import google_answer, prompt
from analyzer.outcome import Outcome, Usage
from analyzer.pictures import DecodedPicture
from analyzer.provider import Context
from analyzer.wire import wire_schema
from shared.clock import Clock
from shared.config import GeminiSettings
from shared.errors import without_frames

API_VERSION = "v1beta"
"""The library's default has changed between releases; this one has every field used here."""


class GoogleGenai:
    """One client, shared by all threads."""

    def __init__(self, settings: GeminiSettings, key: str, endpoint: str, clock: Clock) -> None:
        self._model = settings.model
        self._clock = clock
        options = types.HttpOptions(
            base_url=endpoint,
            api_version=API_VERSION,
            timeout=round(settings.timeout_seconds * 1000),
            retry_options=types.HttpRetryOptions(attempts=1),
        )
        self._client = genai.Client(api_key=key, vertexai=False, http_options=options)

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        try:
            answer = self._client.models.generate_content(
                model=self._model,
                contents=_contents(pictures, context),
                config=_config(self._model, context),
            )
            return _read(answer)
        except errors.APIError as error:
            without_frames(error)
            return google_answer.outcome_of_error(error.code, error.details, self._clock.now())
        except _transport_errors() as error:
            return google_answer.no_answer(without_frames(error))
        except (ValueError, TypeError, AttributeError) as error:  # a 200 that is not Google's
            return google_answer.not_google(without_frames(error))


def _contents(pictures: Sequence[DecodedPicture], context: Context) -> list[Any]:
    language, total = context.language, len(pictures)
    parts = []
    for number, picture in enumerate(pictures, start=1):
        label = prompt.label(language, number, total, picture.captured_at)
        parts.append(types.Part.from_text(text=label))
        parts.append(types.Part.from_bytes(data=picture.jpeg, mime_type="image/jpeg"))
    parts.append(types.Part.from_text(text=prompt.question(language)))
    return [types.Content(role="user", parts=parts)]


def _config(model: str, context: Context) -> Any:
    return types.GenerateContentConfig(
        system_instruction=prompt.rules(context.language),
        response_mime_type="application/json",
        response_schema={**wire_schema(), "property_ordering": wire_schema()["required"]},
        temperature=google_answer.TEMPERATURE,
        max_output_tokens=google_answer.MAX_OUTPUT_TOKENS,
        media_resolution=types.MediaResolution.MEDIA_RESOLUTION_MEDIUM,
        thinking_config=least_thinking(model),
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )


def least_thinking(model: str) -> Any:
    """The least thinking a model allows (source: "Gemini thinking"), None if it cannot be set."""
    if model.startswith("gemini-2.5-flash"):
        return types.ThinkingConfig(thinking_budget=0)
    if model.startswith("gemini-2.5-pro"):
        return types.ThinkingConfig(thinking_budget=128)
    if re.match(r"gemini-(?:[3-9]|\d\d)", model):
        return types.ThinkingConfig(thinking_level=types.ThinkingLevel.LOW)
    return None


def _read(answer: Any) -> Outcome:
    feedback = answer.prompt_feedback
    block_reason = _name(feedback.block_reason) if feedback is not None else ""
    candidate = answer.candidates[0] if answer.candidates else None
    finish_reason = _name(candidate.finish_reason) if candidate is not None else ""
    parts = (candidate.content.parts or []) if candidate and candidate.content else []
    text = "".join(part.text for part in parts if part.text and not part.thought)
    counts = answer.usage_metadata
    given = (counts.prompt_token_count or 0) if counts else 0
    total = (counts.total_token_count or 0) if counts else 0
    usage = Usage(requests=1, input_tokens=given, output_tokens=max(0, total - given))
    return google_answer.outcome_of_answer(block_reason, finish_reason, text, usage)


def _name(value: Any) -> str:
    return "" if value is None else str(getattr(value, "name", value))


def _transport_errors() -> tuple[type[Exception], ...]:
    """The library lets its HTTP client's errors through, and has had two such clients."""
    found: list[type[Exception]] = []
    for name in ("httpx2", "httpx"):
        try:
            found.append(importlib.import_module(name).HTTPError)
        except ImportError:
            continue
    return tuple(found)
