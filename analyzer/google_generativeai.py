"""Gemini through google-generativeai, which reached end of life in 2025-11. Only importer of it.

It is there because it was asked for by name: `analysis.gemini.sdk: google-generativeai`. It cannot
turn down thinking or picture tokens and cannot send the order of an answer's fields. Without
`retry=None` it makes 124 requests in ten minutes on a 503, whatever the time-out says. It is
configured for the whole process, over HTTP (`transport="rest"`).
"""

from collections.abc import Sequence
from typing import Any

from google.api_core.exceptions import GoogleAPICallError
from google.auth.exceptions import GoogleAuthError
from google.generativeai.client import configure, get_default_generative_client
from google.generativeai.generative_models import GenerativeModel
from google.generativeai.types import RequestOptions
from google.protobuf.json_format import ParseError
from requests.exceptions import RequestException

from analyzer import google_answer, prompt
from analyzer.outcome import Outcome, Usage
from analyzer.pictures import DecodedPicture
from analyzer.provider import Context
from analyzer.wire import wire_schema
from shared.clock import Clock
from shared.config import GeminiSettings
from shared.errors import without_frames


class GoogleGenerativeAi:
    """One client, shared by all threads."""

    def __init__(self, settings: GeminiSettings, key: str, endpoint: str, clock: Clock) -> None:
        self._model = settings.model
        self._options = RequestOptions(timeout=settings.timeout_seconds, retry=None)
        self._clock = clock
        configure(api_key=key, transport="rest", client_options={"api_endpoint": endpoint})
        session: Any = vars(get_default_generative_client().transport)["_session"]
        # google-auth sends a refused request (401) twice more; a key cannot be refreshed.
        session._max_refresh_attempts = 0

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        model = GenerativeModel(self._model, system_instruction=prompt.rules(context.language))
        try:
            answer = model.generate_content(
                _contents(pictures, context),
                generation_config=_config(),
                request_options=self._options,
            )
            return _read(answer)
        except GoogleAPICallError as error:
            without_frames(error)
            payload = _payload(error.response)
            return google_answer.outcome_of_error(error.code or 500, payload, self._clock.now())
        except (RequestException, GoogleAuthError) as error:
            return google_answer.no_answer(without_frames(error))
        except (ParseError, ValueError, TypeError, AttributeError) as error:
            # a 200 that is not Google's; AttributeError also for an error body that is a list,
            # where google-api-core expects a mapping
            return google_answer.not_google(without_frames(error))


def _contents(pictures: Sequence[DecodedPicture], context: Context) -> list[Any]:
    language, total = context.language, len(pictures)
    parts: list[Any] = []
    for number, picture in enumerate(pictures, start=1):
        parts.append(prompt.label(language, number, total, picture.captured_at))
        parts.append({"mime_type": "image/jpeg", "data": picture.jpeg})
    return [*parts, prompt.question(language)]


def _config() -> Any:
    return {
        "response_mime_type": "application/json",
        "response_schema": wire_schema(),
        "temperature": google_answer.TEMPERATURE,
        "max_output_tokens": google_answer.MAX_OUTPUT_TOKENS,
    }


def _read(answer: Any) -> Outcome:
    candidate = answer.candidates[0] if answer.candidates else None
    finish_reason = _name(candidate.finish_reason) if candidate is not None else ""
    text = "".join(part.text for part in candidate.content.parts) if candidate is not None else ""
    counts = answer.usage_metadata
    given, total = int(counts.prompt_token_count), int(counts.total_token_count)
    usage = Usage(requests=1, input_tokens=given, output_tokens=max(0, total - given))
    block_reason = _name(answer.prompt_feedback.block_reason)
    return google_answer.outcome_of_answer(block_reason, finish_reason, text, usage)


def _name(value: Any) -> str:
    """The name of an enum's value, its number if this library does not know it, "" for zero."""
    return "" if int(value) == 0 else str(getattr(value, "name", value))


def _payload(response: Any) -> Any:
    try:
        return response.json()
    except (ValueError, AttributeError):
        return None
