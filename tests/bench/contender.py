"""What is measured: something that turns cameras into live HLS and recordings."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from tests.bench.mark import Mark


class Contender(Protocol):
    """One side of the comparison. Used from the main thread: programs die with who started them."""

    name: str

    def start(self, sources: list[str]) -> None:
        """Begin with these cameras. Raises CradleError."""
        ...

    def playlists(self) -> dict[int, Path]:
        """The live playlist of each camera, by its number."""
        ...

    def named_processes(self) -> Mapping[int, str]:
        """Its processes by what they are called in the figures, by pid.

        Raises ChildFailed if one has ended.
        """
        ...

    def troubles(self) -> dict[str, float]:
        """Its own counters of what should not happen, where they are not 0."""
        ...

    def stop(self) -> None:
        """End it in order, so that recordings are whole; nothing if it does not run."""
        ...

    def recorded(self) -> Iterator[tuple[int, Mark]]:
        """After `stop`: each frame in its recordings, with the number of the camera."""
        ...
