"""RTP packets as a camera sends them over RTSP's own connection (RFC 2326, 10.12).

Each frame of the footage is cut into packets once: H.264 by RFC 6184, AAC by RFC 3640. To send it,
what differs from turn to turn (sequence numbers, time, the mark) is written into a copy.
"""

import base64
import struct
from collections.abc import Sequence
from typing import Final

from tests.bench.footage import AUDIO_RATE, FRAMES_PER_SECOND, SAMPLES_PER_AUDIO_FRAME, Footage
from tests.bench.mark import UUID, Mark, digits, sei_unit

PAYLOAD_BYTES: Final = 1400
"""What fits an Ethernet frame, as with a camera."""
VIDEO_TICKS: Final = 90_000 // FRAMES_PER_SECOND
VIDEO_CHANNEL: Final = 0
AUDIO_CHANNEL: Final = 2

_VIDEO_TYPE: Final = 96
_AUDIO_TYPE: Final = 97
_VERSION: Final = 0x80
_MARKER: Final = 0x80
_FU_A: Final = 28
_HEADER = struct.Struct(">cBHBBHII")
"""`$`, channel, length; version, type, sequence, time, source."""
_SEQUENCE_AND_TIME = struct.Struct(">HI")
_SEQUENCE_OFFSET: Final = 6


class Packets:
    """Some RTP packets of one stream, one behind the other, ready to be sent again and again."""

    def __init__(self, channel: int, payload_type: int, payloads: Sequence[bytes]) -> None:
        """The last payload is the end of its access unit."""
        data = bytearray()
        self._offsets = []
        for number, payload in enumerate(payloads, start=1):
            self._offsets.append(len(data) + _SEQUENCE_OFFSET)
            kind = payload_type | (_MARKER if number == len(payloads) else 0)
            size = len(payload) + 12
            data += _HEADER.pack(b"$", channel, size, _VERSION, kind, 0, 0, channel + 1)
            data += payload
        self._template = bytes(data)
        self._mark_at = self._template.find(UUID) + len(UUID)

    def __len__(self) -> int:
        return len(self._offsets)

    def at(self, sequence: int, ticks: int, mark: Mark | None = None) -> bytearray:
        """The bytes to send, from this sequence number on, at this time of the stream."""
        data = bytearray(self._template)
        for offset in self._offsets:
            _SEQUENCE_AND_TIME.pack_into(data, offset, sequence & 0xFFFF, ticks & 0xFFFFFFFF)
            sequence += 1
        if mark is not None:
            changing = digits(mark)
            data[self._mark_at : self._mark_at + len(changing)] = changing
        return data


def video_packets(footage: Footage) -> list[Packets]:
    """The packets of each frame: parameter sets before a key frame, then the mark, the picture."""
    mark = sei_unit(Mark(0, 0, 0))
    made = []
    for number, units in enumerate(footage.frames):
        before = [*footage.parameter_sets, mark] if number in footage.key_frames else [mark]
        payloads = [part for unit in (*before, *units) for part in _fragmented(unit)]
        made.append(Packets(VIDEO_CHANNEL, _VIDEO_TYPE, payloads))
    return made


def _fragmented(unit: bytes) -> list[bytes]:
    """A NAL unit as one payload, or as fragmentation units (RFC 6184, 5.8)."""
    if len(unit) <= PAYLOAD_BYTES:
        return [unit]
    indicator = unit[0] & 0xE0 | _FU_A
    step = PAYLOAD_BYTES - 2
    parts = []
    for at in range(1, len(unit), step):
        start = 0x80 if at == 1 else 0
        end = 0x40 if at + step >= len(unit) else 0
        parts.append(bytes((indicator, start | end | unit[0] & 0x1F)) + unit[at : at + step])
    return parts


def audio_packets(footage: Footage) -> list[Packets]:
    """One packet for each AAC frame (RFC 3640, 3.3.6)."""
    return [
        Packets(AUDIO_CHANNEL, _AUDIO_TYPE, [struct.pack(">HH", 16, len(frame) << 3) + frame])
        for frame in footage.audio
    ]


def audio_due(frame: int) -> int:
    """How many AAC frames have begun when video frame `frame` begins."""
    return frame * AUDIO_RATE // (FRAMES_PER_SECOND * SAMPLES_PER_AUDIO_FRAME)


def description(footage: Footage) -> bytes:
    """What a camera answers to DESCRIBE (SDP)."""
    sps, pps = footage.parameter_sets
    sets = f"{base64.b64encode(sps).decode()},{base64.b64encode(pps).decode()}"
    lines = [
        *("v=0", "o=- 0 0 IN IP4 127.0.0.1", "s=bench", "t=0 0", "a=control:*"),
        f"m=video 0 RTP/AVP {_VIDEO_TYPE}",
        f"a=rtpmap:{_VIDEO_TYPE} H264/90000",
        f"a=fmtp:{_VIDEO_TYPE} packetization-mode=1;sprop-parameter-sets={sets};"
        f"profile-level-id={sps[1:4].hex()}",
        f"a=framerate:{FRAMES_PER_SECOND}",
        "a=control:video",
        f"m=audio 0 RTP/AVP {_AUDIO_TYPE}",
        f"a=rtpmap:{_AUDIO_TYPE} mpeg4-generic/{AUDIO_RATE}/1",
        f"a=fmtp:{_AUDIO_TYPE} streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;"
        f"indexlength=3;indexdeltalength=3;config={footage.audio_configuration.hex()}",
        "a=control:audio",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()
