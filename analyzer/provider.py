"""The port: whoever can say what pictures show.

Adapters stand behind it (OpenCV on this machine, Gemini through either of Google's libraries), and
so do the layers around a remote one: budget, retry and breaker are providers that hold a provider.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from analyzer.measurement import Measurement
from analyzer.outcome import Outcome
from analyzer.pictures import DecodedPicture
from analyzer.prompt import Language


@dataclass(frozen=True)
class Context:
    """What a provider is told beside the pictures. Holds no name of anybody or anything."""

    language: Language
    measurement: Measurement


class Provider(Protocol):
    """Says what pictures show."""

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Outcome:
        """Judge the pictures of one interval, oldest first. Raises nothing: see `Outcome`."""
        ...
