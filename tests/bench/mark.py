"""A mark in every frame: which camera, which frame, and when it was sent.

The bench's cameras put it into each access unit as an SEI message (user data unregistered, ITU-T
H.264 annex D.1.7). Stream copy carries it through RTP, MPEG-TS, HLS and MP4 alike, so that each
frame found at the end says by itself how long it took, and each one missing has a number. Digits
are ASCII: no byte of it is zero, so no emulation prevention ever changes it.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import av
import numpy as np

UUID: Final = b"cradle-bench-mrk"
"""Sixteen bytes, as the standard wants them."""
SEARCHED_BYTES: Final = 512
"""The mark stands before the picture, behind the parameter sets of a key frame."""

VIDEO_PID: Final = 0x100
"""Where ffmpeg, and so everybody here, puts the video of a transport stream."""

_TS_BYTES: Final = 188
_UNIT_BEGINS: Final = 0x40
_HAS_ADAPTATION: Final = 0x20
_HEAD_PACKETS: Final = 3
"""Of transport stream; they hold what is searched."""
_SEI: Final = 6
_USER_DATA_UNREGISTERED: Final = 5
_STOP_BIT: Final = b"\x80"
_DIGITS = re.compile(re.escape(UUID) + rb"(\d{4})(\d{10})(\d{20})")


class Mark(NamedTuple):
    """What one frame says of itself."""

    camera: int
    number: int
    """Counted by the camera from 0, sent or not."""
    sent_ns: int
    """Wall clock just before its first byte went to the socket, nanoseconds."""


def digits(mark: Mark) -> bytes:
    """The part of the message that differs from frame to frame; always as long."""
    return b"%04d%010d%020d" % mark


def sei_unit(mark: Mark) -> bytes:
    """A NAL unit, without a start code."""
    content = UUID + digits(mark)
    return bytes((_SEI, _USER_DATA_UNREGISTERED, len(content))) + content + _STOP_BIT


def find_mark(access_unit: bytes) -> Mark | None:
    """The mark of a frame; None if it has none."""
    match = _DIGITS.search(access_unit, 0, SEARCHED_BYTES)
    return Mark(*map(int, match.groups())) if match else None


def marks_in(path: Path) -> Iterator[Mark]:
    """The marks of all frames in a segment (.ts) or a recording, in order.

    Raises ValueError at a frame without one.
    """
    if path.suffix == ".ts":
        heads = _frames_of_transport_stream(path.read_bytes())
    else:
        heads = _frames_of_container(path)
    for head in heads:
        mark = find_mark(head)
        if mark is None:
            raise ValueError(f"{path.name}: a frame without a mark")
        yield mark


def _frames_of_container(path: Path) -> Iterator[bytes]:
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.size:  # at the end comes an empty one
                yield bytes(packet)


def _frames_of_transport_stream(data: bytes) -> Iterator[bytes]:
    """How each frame begins. By hand: opening a segment with libav takes 30 times as long."""
    rows = np.frombuffer(data, np.uint8).reshape(-1, _TS_BYTES)
    pids = (rows[:, 1] & 0x1F).astype(np.uint16) << 8 | rows[:, 2]
    video = rows[pids == VIDEO_PID]
    for first in np.flatnonzero(video[:, 1] & _UNIT_BEGINS):
        yield b"".join(_payload(row.tobytes()) for row in video[first : first + _HEAD_PACKETS])


def _payload(packet: bytes) -> bytes:
    """Of an MPEG-TS packet (ISO 13818-1, 2.4.3.2): behind the adaptation field, if there is one."""
    return packet[4 + (1 + packet[4] if packet[3] & _HAS_ADAPTATION else 0) :]
