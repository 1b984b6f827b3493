"""Tests that mostly wait, side by side.

A scenario is a function that plays a story with real parts of its own. Those of a module that were
selected run at the same time, a few at once; each is a test of its own.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from tests.videos import Videos

Parts = TypeVar("Parts")
Running = dict[str, "Future[None]"]
_making = threading.Lock()


@dataclass(frozen=True)
class Place:
    """What a scenario has for itself."""

    folder: Path
    _videos: Videos

    def video(self, suffix: str = ".mp4", **recipe: Any) -> Path:
        """A video with a frame counter, not to be changed."""
        with _making:
            return self._videos(suffix, **recipe)


class Scenarios(Generic[Parts]):
    """The scenarios of one module. As a decorator it adds one."""

    def __init__(
        self, prepare: Callable[[Place], AbstractContextManager[Parts]], at_once: int = 8
    ) -> None:
        """`prepare` makes the parts that a scenario is given, and takes them down after it."""
        self._prepare = prepare
        self._at_once = at_once
        self._found: dict[str, Callable[[Parts], None]] = {}

    def __call__(self, scenario: Callable[[Parts], None]) -> Callable[[Parts], None]:
        self._found[scenario.__name__] = scenario
        return scenario

    def each(self, **cases: Any) -> Callable[[Callable[[Parts, Any], None]], None]:
        """Decorator: a scenario for each case, by its name, with what it is given."""

        def add(scenario: Callable[[Parts, Any], None]) -> None:
            for name, case in cases.items():
                self._found[f"{scenario.__name__}-{name}"] = partial(_with_case, scenario, case)

        return add

    @property
    def names(self) -> list[str]:
        return list(self._found)

    def run(
        self, request: pytest.FixtureRequest, folder: Path, videos: Videos
    ) -> Iterator[Running]:
        """For a fixture of the module to yield from: starts what was selected, by `name`."""
        selected = [
            str(item.callspec.params["name"])
            for item in request.session.items
            if isinstance(item, pytest.Function)
            and item.path == request.node.path
            and hasattr(item, "callspec")
        ]
        with ThreadPoolExecutor(self._at_once) as pool:
            running = {name: pool.submit(self._play, name, folder, videos) for name in selected}
            yield running
            for future in running.values():
                future.cancel()

    def _play(self, name: str, folder: Path, videos: Videos) -> None:
        place = Place(folder / name, videos)
        place.folder.mkdir()
        with self._prepare(place) as parts:
            self._found[name](parts)


def _with_case(scenario: Callable[[Parts, Any], None], case: Any, parts: Parts) -> None:
    scenario(parts, case)
