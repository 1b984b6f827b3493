"""A feed: an open source that yields packets Cradle can carry.

Whatever the source is, what comes out is H.264 or HEVC video and at most one AAC audio stream, as
compressed packets with times in 90 kHz ticks of the source's clock. `ingest/demuxed.py` carries
what can be carried; `ingest/encoding.py` makes H.264 and AAC of what cannot.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple, Protocol, TypeAlias

import av

from ingest.timeline import TICKS
from shared.messages import StreamParameters

MediaPacket: TypeAlias = "av.Packet[Any]"
Scale: TypeAlias = tuple[int, int]
"""Multiplier and divisor that make 90 kHz ticks of a stream's own units."""


class Arrival(NamedTuple):
    """One packet as it came."""

    packet: MediaPacket
    is_video: bool
    pts: int | None
    """Ticks on the source's clock; None where the source gave none."""
    dts: int | None


class Feed(Protocol):
    """An open source. Used by one thread; `close` also ends a feed that failed."""

    parameters: StreamParameters

    @property
    def video_template(self) -> av.VideoStream:
        """The stream whose parameters a muxer copies."""
        ...

    @property
    def audio_template(self) -> av.AudioStream | None: ...

    def arrivals(self) -> Iterator[Arrival | None]:
        """Packets until the source ends; None for what was read and gave none.

        Raises SourceFailed when it breaks or falls silent.
        """
        ...

    def close(self) -> None: ...


def scale_of(time_base: Fraction) -> Scale:
    """For all packets of a stream: to ask each for its time base costs as much as to place it."""
    return time_base.numerator * TICKS, time_base.denominator


def arrival(
    packet: MediaPacket, is_video: bool, scale: Scale | None = None, shift_ticks: int = 0
) -> Arrival:
    """Take a packet's times off its stream's time base; `scale` is its stream's, if known."""
    multiplier, divisor = scale or scale_of(packet.time_base)
    pts, dts = packet.pts, packet.dts
    return Arrival(
        packet,
        is_video,
        None if pts is None else pts * multiplier // divisor + shift_ticks,
        None if dts is None else dts * multiplier // divisor + shift_ticks,
    )
