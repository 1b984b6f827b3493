"""The public playlist of one camera, as a value: what players read again and again.

It lists the last few segments. A new segment enters at the end, old ones leave at the head, and the
sequence numbers count what has left (RFC 8216): the media sequence each segment, the discontinuity
sequence each segment that did not go on where the one before had ended. A restarted worker parses
the file it finds and goes on, so the numbers only ever rise. Where there is none, or one that is
not ours, counting starts from the wall clock, faster than segments can come: higher than whatever a
player saw before. There is never an ENDLIST: a camera that is silent now may speak again.
"""

import math
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, Self

NAME: Final = "index.m3u8"
STALE_SECONDS: Final = 30.0
"""A listed segment that ended this long before a new one began is not live: it leaves at once."""

_VERSION: Final = 6  # EXT-X-MAP in a media playlist
_SEGMENTS_PER_SECOND: Final = 4  # they last half a second or more; below 2^31 until 2037
# hls.js keeps an array by discontinuity and walks it at each segment: with 10^9 it hangs.
_DISCONTINUITIES_PER_HOUR: Final = 6
_COUNTED_FROM: Final = datetime(2020, 1, 1, tzinfo=UTC)
_URI = re.compile(r"[0-9a-f]{20}/\d{6,9}\.(?:ts|m4s)", re.ASCII)
_MAP = re.compile(r"[0-9a-f]{20}/init\.mp4")


@dataclass(frozen=True)
class Segment:
    """One finished file of a few frames."""

    uri: str
    """`<generation>/<file>`, relative to the playlist."""
    duration_seconds: float
    captured_at: datetime
    """Capture time of its first frame, UTC."""
    discontinuity: bool = False
    """It is the first of a generation, or frames are missing before it: clocks begin anew."""
    map_uri: str | None = None
    """The generation's initialisation section, if it is fragmented MP4."""

    @property
    def generation(self) -> str:
        return self.uri.partition("/")[0]

    @property
    def ended_at(self) -> datetime:
        """Capture time of the end of its last frame, UTC."""
        return self.captured_at + timedelta(seconds=self.duration_seconds)


@dataclass(frozen=True)
class Playlist:
    """What the file says."""

    media_sequence: int
    """Number of the first listed segment."""
    discontinuity_sequence: int
    """Discontinuities that have left the list."""
    target_seconds: int
    """No listed segment is longer, rounded to whole seconds."""
    segments: tuple[Segment, ...] = ()

    @classmethod
    def started_at(cls, now: datetime, target_seconds: int) -> Self:
        """An empty playlist that counts from the wall clock."""
        seconds = (now - _COUNTED_FROM).total_seconds()
        return cls(
            media_sequence=int(seconds * _SEGMENTS_PER_SECOND),
            discontinuity_sequence=int(seconds / 3600 * _DISCONTINUITIES_PER_HOUR),
            target_seconds=target_seconds,
        )

    def without_first(self, count: int) -> "Playlist":
        """The oldest `count` segments have left."""
        gone = self.segments[:count]
        return replace(
            self,
            media_sequence=self.media_sequence + len(gone),
            discontinuity_sequence=self.discontinuity_sequence
            + sum(segment.discontinuity for segment in gone),
            segments=self.segments[count:],
        )

    def with_segment(self, segment: Segment, *, keep: int, least_target_seconds: int) -> "Playlist":
        """A segment has come, so that at most `keep` stay listed.

        The target duration rises when a segment needs it and falls only when a whole generation
        has left: inside one, players may rely on it.
        """
        leaving = max(0, len(self.segments) + 1 - keep, self._foreign_to(segment))
        shorter = self.without_first(leaving)
        listed = (*shorter.segments, segment)
        longest = max(round_half_up(each.duration_seconds) for each in listed)
        before = {each.generation for each in self.segments}
        calm = before <= {each.generation for each in listed}
        least = max(least_target_seconds, self.target_seconds if calm else 0)
        return replace(shorter, segments=listed, target_seconds=max(least, longest))

    def _foreign_to(self, segment: Segment) -> int:
        """How many segments at the head cannot stand in one list with a new one.

        Those that are stale beside it; and those of fragmented MP4 before a transport stream, since
        an EXT-X-MAP holds for all that follows and cannot be taken back.
        """
        stale = segment.captured_at - timedelta(seconds=STALE_SECONDS)
        foreign = 0
        for number, each in enumerate(self.segments, start=1):
            if each.ended_at < stale or (each.map_uri and not segment.map_uri):
                foreign = number
        return foreign

    def text(self) -> str:
        """The file."""
        lines = [
            "#EXTM3U",
            f"#EXT-X-VERSION:{_VERSION}",
            f"#EXT-X-TARGETDURATION:{self.target_seconds}",
            f"#EXT-X-MEDIA-SEQUENCE:{self.media_sequence}",
            f"#EXT-X-DISCONTINUITY-SEQUENCE:{self.discontinuity_sequence}",
            "#EXT-X-INDEPENDENT-SEGMENTS",
        ]
        map_uri = None
        for segment in self.segments:
            if segment.discontinuity:
                lines.append("#EXT-X-DISCONTINUITY")
            if segment.map_uri != map_uri:
                map_uri = segment.map_uri
                lines.append(f'#EXT-X-MAP:URI="{map_uri}"')
            moment = segment.captured_at.astimezone(UTC).isoformat(timespec="milliseconds")
            lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{moment.replace('+00:00', 'Z')}")
            lines.append(f"#EXTINF:{segment.duration_seconds:.6f},")
            lines.append(segment.uri)
        return "\n".join(lines) + "\n"


def can_be_listed(uri: str) -> bool:
    """It is the name of a segment, or of an initialisation section: there are no others."""
    return _URI.fullmatch(uri) is not None or _MAP.fullmatch(uri) is not None


def round_half_up(seconds: float) -> int:
    """Whole seconds as RFC 8216 compares them with the target duration."""
    return math.floor(seconds + 0.5)


def parse(text: str) -> Playlist | None:
    """The playlist that `text()` wrote; None for anything else, however it came about."""
    try:
        return _parse(text)
    except (ValueError, KeyError, OverflowError):
        return None


def _parse(text: str) -> Playlist | None:
    first, *lines = text.splitlines()
    if first != "#EXTM3U" or not text.endswith("\n"):
        return None
    header: dict[str, int] = {}
    segments: list[Segment] = []
    facts: dict[str, str] = {}
    map_uri: str | None = None
    for line in lines:
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-MAP":
            map_uri = value.removeprefix('URI="').removesuffix('"')
            if _MAP.fullmatch(map_uri) is None:
                return None
        elif not line.startswith("#"):
            segments.append(_segment(line, facts, map_uri))
            facts = {}
        elif segments or tag in {"#EXT-X-DISCONTINUITY", "#EXT-X-PROGRAM-DATE-TIME", "#EXTINF"}:
            facts[tag] = value
        elif value:
            header[tag] = int(value)
    playlist = Playlist(
        media_sequence=header["#EXT-X-MEDIA-SEQUENCE"],
        discontinuity_sequence=header["#EXT-X-DISCONTINUITY-SEQUENCE"],
        target_seconds=header["#EXT-X-TARGETDURATION"],
        segments=tuple(segments),
    )
    return None if min(header.values()) < 0 else playlist


def _segment(uri: str, facts: dict[str, str], map_uri: str | None) -> Segment:
    duration = float(facts["#EXTINF"].removesuffix(","))
    if _URI.fullmatch(uri) is None or not math.isfinite(duration) or duration < 0:
        raise ValueError(uri)
    return Segment(
        uri=uri,
        duration_seconds=duration,
        captured_at=datetime.fromisoformat(facts["#EXT-X-PROGRAM-DATE-TIME"]).astimezone(UTC),
        discontinuity="#EXT-X-DISCONTINUITY" in facts,
        map_uri=map_uri,
    )
