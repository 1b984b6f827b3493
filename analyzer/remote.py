"""The remote provider that the configuration names, or one that says what is missing for it.

A wrong key, a package that is not installed, an address that may not be used: none of them stops
the analyzer. The provider is then an `Unusable`, whose every answer is the reason.
"""

import importlib
import warnings
from collections.abc import Sequence

from analyzer import google_answer
from analyzer.outcome import Misconfigured, Outcome
from analyzer.pictures import DecodedPicture
from analyzer.provider import Context, Provider
from shared.clock import Clock
from shared.config import GeminiSettings

_ADAPTERS = {
    "google-genai": ("analyzer.google_genai", "GoogleGenai", "gemini"),
    "google-generativeai": ("analyzer.google_generativeai", "GoogleGenerativeAi", "gemini-legacy"),
}
"""Library -> module, class, and the extra of this package that installs it."""


class Unusable:
    """A provider that cannot be asked, and says why."""

    def __init__(self, reason: Misconfigured) -> None:
        self.reason = reason

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        return self.reason


def gemini(settings: GeminiSettings, clock: Clock) -> Provider:
    """Load the library that `analysis.gemini.sdk` names. Raises nothing: see `Unusable`."""
    module, name, extra = _ADAPTERS[settings.sdk]
    key = google_answer.api_key(settings)
    if isinstance(key, Misconfigured):
        return Unusable(key)
    endpoint = google_answer.endpoint(settings)
    if isinstance(endpoint, Misconfigured):
        return Unusable(endpoint)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # google-generativeai's farewell
            adapter = getattr(importlib.import_module(module), name)
    except ImportError:
        return Unusable(google_answer.missing_package(settings.sdk, extra))
    provider: Provider = adapter(settings, key, endpoint, clock)
    return provider
