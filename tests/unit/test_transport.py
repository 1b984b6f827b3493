"""Frames are counted in the bytes: as many as the muxer was given, and never more in garbage."""

import io
from fractions import Fraction

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import BadFragment
from shared.transport import (
    PACKET_BYTES,
    SYNC_BYTE,
    count_frames,
    frame_offsets,
    frame_time,
    packets,
)

TICKS = 90_000


def transport_stream(sizes: list[int], sound_bytes: int = 300) -> bytes:
    """MPEG-TS with video frames of these sizes, 30 a second, and a sound packet beside each."""
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        video = container.add_stream("mpeg4", rate=30)
        video.width = video.height = 64
        sound = container.add_stream("mp2", rate=48_000)
        for number, size in enumerate(sizes):
            for stream, length in ((video, size), (sound, sound_bytes)):
                packet = av.Packet(b"\0\0\1\xb6" + bytes(length))
                packet.stream = stream
                packet.time_base = Fraction(1, TICKS)
                packet.pts = packet.dts = TICKS + number * 3000
                container.mux_one(packet)
    return file.getvalue()


@given(st.lists(st.integers(min_value=1, max_value=70_000), min_size=1, max_size=8))
def test_every_frame_is_counted_once_whatever_its_size(sizes: list[int]) -> None:
    assert count_frames(transport_stream(sizes)) == len(sizes)


def test_sound_is_not_counted() -> None:
    assert count_frames(transport_stream([100], sound_bytes=5000)) == 1


def test_counts_of_parts_add_up() -> None:
    data = transport_stream([4000] * 7)
    for cut in range(0, len(data), PACKET_BYTES):
        assert count_frames(data[:cut]) + count_frames(data[cut:]) == 7


def test_the_time_of_each_frame_is_read() -> None:
    data = transport_stream([500] * 5)
    times = [frame_time(data, int(offset)) for offset in frame_offsets(data)]
    assert all(time is not None for time in times)
    first = times[0] or 0
    assert [time and time - first for time in times] == [0, 3000, 6000, 9000, 12000]


def test_times_are_read_over_the_whole_33_bits() -> None:
    for time in (0, 1, 0x7FFF, 0x8000, 2**30, 2**33 - 1):
        pes = bytes(
            [
                *(0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5),
                0x21 | time >> 29 & 0xE,
                time >> 22 & 0xFF,
                time >> 14 & 0xFE | 1,
                time >> 7 & 0xFF,
                time << 1 & 0xFE | 1,
            ]
        )
        packet = (bytes([SYNC_BYTE, 0x41, 0, 0x10]) + pes).ljust(PACKET_BYTES, b"\xff")
        assert frame_time(packet, 0) == time


def test_a_piece_of_a_packet_is_refused() -> None:
    with pytest.raises(BadFragment, match="whole number"):
        packets(transport_stream([100])[:-1])


def test_a_stream_out_of_step_is_refused() -> None:
    with pytest.raises(BadFragment, match="sync byte"):
        count_frames(bytes(PACKET_BYTES))


def test_nothing_holds_no_frames() -> None:
    assert count_frames(b"") == 0
    assert frame_time(b"", 0) is None


@given(st.binary(max_size=3 * PACKET_BYTES), st.integers(min_value=0, max_value=600))
def test_garbage_is_refused_or_counted_and_never_breaks(data: bytes, offset: int) -> None:
    frame_time(data, offset)
    try:
        assert 0 <= count_frames(data) <= len(data) // PACKET_BYTES
    except BadFragment:
        assert len(data) % PACKET_BYTES or any(byte != SYNC_BYTE for byte in data[::PACKET_BYTES])


@given(st.lists(st.binary(min_size=187, max_size=187), min_size=1, max_size=4))
def test_packets_of_garbage_never_break_a_reader(rows: list[bytes]) -> None:
    data = b"".join(bytes([SYNC_BYTE]) + row for row in rows)
    for offset in frame_offsets(data):
        frame_time(data, int(offset))
