"""MPEG transport streams, as far as Cradle looks into them: where each video frame begins.

A fragment is a sequence of 188-byte packets (ISO/IEC 13818-1). libavformat's muxer puts every frame
into a PES packet of its own and begins it in a fresh transport packet, so the packets of the video
PID with `payload_unit_start_indicator` are the frames. Counting them in the bytes really written
says what a reference holds without trusting anybody's bookkeeping. One numpy pass over 250 kB
takes about 20 microseconds; nothing is decoded.
"""

import numpy as np
from numpy.typing import NDArray

from shared.errors import BadFragment

PACKET_BYTES = 188
SYNC_BYTE = 0x47
VIDEO_PID = 0x100
AUDIO_PID = 0x101
"""libavformat numbers streams from 0x100 in the order they were added: video first."""

_UNIT_START = 0x40


def packets(data: bytes | bytearray | memoryview) -> NDArray[np.uint8]:
    """The transport packets as a view of shape (n, 188), uint8.

    Raises BadFragment if `data` is not a whole number of packets with a sync byte each.
    """
    view = np.frombuffer(data, dtype=np.uint8)
    if view.size % PACKET_BYTES:
        raise BadFragment(f"{view.size} bytes are not a whole number of transport packets")
    rows = view.reshape(-1, PACKET_BYTES)
    if not bool(np.all(rows[:, 0] == SYNC_BYTE)):
        raise BadFragment("the bytes are not a transport stream: a sync byte is missing")
    return rows


def frame_offsets(data: bytes | bytearray | memoryview) -> NDArray[np.int64]:
    """Byte offsets (shape (frames,), int64) at which video frames begin. Raises BadFragment."""
    rows = packets(data)
    high = (VIDEO_PID >> 8) | _UNIT_START
    begins = ((rows[:, 1] & (_UNIT_START | 0x1F)) == high) & (rows[:, 2] == (VIDEO_PID & 0xFF))
    return np.flatnonzero(begins) * PACKET_BYTES


def count_frames(data: bytes | bytearray | memoryview) -> int:
    """How many video frames begin in `data`. Raises BadFragment."""
    return int(frame_offsets(data).size)


def frame_time(data: bytes | bytearray | memoryview, offset: int) -> int | None:
    """The presentation time (90 kHz ticks) of the frame that begins at `offset`, None without one.

    Reads the PES header of ISO/IEC 13818-1, 2.4.3.6.
    """
    packet = bytes(data[offset : offset + PACKET_BYTES])
    if len(packet) < PACKET_BYTES:
        return None
    start = 4
    if packet[3] & 0x20:  # an adaptation field stands before the payload
        start += 1 + packet[4]
    pes = packet[start : start + 14]
    if len(pes) < 14 or pes[:3] != b"\0\0\1" or not pes[7] & 0x80:
        return None
    return (
        (pes[9] >> 1 & 7) << 30 | pes[10] << 22 | (pes[11] >> 1) << 15 | pes[12] << 7 | pes[13] >> 1
    )
