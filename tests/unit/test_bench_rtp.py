"""The bench's cameras send what the footage holds: RTP of RFC 6184, in order, marked."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from tests.bench import rtp
from tests.bench.footage import AUDIO_RATE, Footage
from tests.bench.mark import Mark, find_mark, sei_unit

SPS, PPS = b"\x67\x64\x00\x28" + b"s" * 20, b"\x68ppp"
KEY, DELTA = b"\x65" + bytes(range(256)) * 30, b"\x41" + b"d" * 100
FOOTAGE = Footage((SPS, PPS), [[KEY], [DELTA]], frozenset({0}), [b"a" * 170], b"\x11\x88")
MARK = Mark(7, 1234, 1_700_000_000_000_000_000)


class Packet(NamedTuple):
    channel: int
    is_last: bool
    sequence: int
    ticks: int
    payload: bytes


def received(data: bytes | bytearray) -> Iterator[Packet]:
    """What a player reads from the connection."""
    at = 0
    while at < len(data):
        sign, channel, size, version, kind, sequence, ticks, _ = struct.unpack_from(
            ">cBHBBHII", data, at
        )
        assert (sign, version) == (b"$", 0x80)
        yield Packet(channel, kind >= 128, sequence, ticks, bytes(data[at + 16 : at + 4 + size]))
        at += 4 + size


def units(packets: list[Packet]) -> list[bytes]:
    """NAL units put together again (RFC 6184, 5.6 and 5.8)."""
    found: list[bytearray] = []
    for packet in packets:
        first, second = packet.payload[:2]
        if first & 0x1F != 28:
            found.append(bytearray(packet.payload))
            continue
        if second & 0x80:
            found.append(bytearray((first & 0xE0 | second & 0x1F,)))
        found[-1] += packet.payload[2:]
    return [bytes(unit) for unit in found]


def test_a_key_frame_comes_with_its_parameter_sets_and_the_mark() -> None:
    key, _ = rtp.video_packets(FOOTAGE)
    packets = list(received(key.at(0, 0, MARK)))
    assert units(packets) == [SPS, PPS, sei_unit(MARK), KEY]
    assert find_mark(b"".join(units(packets))) == MARK


def test_another_frame_comes_with_the_mark_alone() -> None:
    _, delta = rtp.video_packets(FOOTAGE)
    assert units(list(received(delta.at(0, 0, MARK)))) == [sei_unit(MARK), DELTA]


def test_packets_are_counted_past_65535_and_carry_one_time() -> None:
    key, _ = rtp.video_packets(FOOTAGE)
    packets = list(received(key.at(65_534, 2**32 + 90, MARK)))
    assert [packet.sequence for packet in packets[:4]] == [65_534, 65_535, 0, 1]
    assert {packet.ticks for packet in packets} == {90}
    assert len(packets) == len(key)


def test_only_the_last_packet_ends_the_access_unit_and_none_is_too_large() -> None:
    key, _ = rtp.video_packets(FOOTAGE)
    packets = list(received(key.at(0, 0, MARK)))
    assert [packet.is_last for packet in packets] == [False] * (len(packets) - 1) + [True]
    assert max(len(packet.payload) for packet in packets) <= rtp.PAYLOAD_BYTES


def test_the_same_packets_can_be_sent_again_with_another_mark() -> None:
    _, delta = rtp.video_packets(FOOTAGE)
    delta.at(0, 0, MARK)
    assert units(list(received(delta.at(9, 9, Mark(1, 1, 1)))))[0] == sei_unit(Mark(1, 1, 1))


def test_sound_is_one_frame_a_packet_behind_its_size() -> None:
    (sound,) = rtp.audio_packets(FOOTAGE)
    (packet,) = received(sound.at(3, 1024))
    assert packet.payload == struct.pack(">HH", 16, 170 << 3) + b"a" * 170
    assert (packet.channel, packet.is_last) == (rtp.AUDIO_CHANNEL, True)


def test_sound_keeps_up_with_pictures() -> None:
    assert rtp.audio_due(30 * 60) == 60 * AUDIO_RATE // 1024


def test_the_description_holds_what_a_decoder_needs() -> None:
    text = rtp.description(FOOTAGE).decode()
    assert "sprop-parameter-sets=Z2QAKHNz" in text
    assert "profile-level-id=640028" in text
    assert "config=1188" in text
