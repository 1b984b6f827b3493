"""What a key frame says of its stream: the sequence parameter set, and the size of the picture.

A camera that is switched to another resolution goes on sending on the same connection; only the
parameter sets inside its key frames change. Comparing their bytes at each key frame finds that
without decoding; one decoded picture then tells the new size. Where the sets stand beside the
stream (RTMP, FLV, MP4), libavformat hands over new ones with the next packet.
"""

from typing import TypeAlias, cast

import av
from av.error import FFmpegError

from ingest.feed import MediaPacket

Buffer: TypeAlias = "bytes | MediaPacket"

_START_CODE = b"\0\0\1"
_RECORD_VERSION = b"\1"
"""The first byte of AVC's and HEVC's configuration records (ISO/IEC 14496-15)."""
_SEARCHED_BYTES = 4096
"""Parameter sets stand at the front of a key frame, behind at most an AUD and some SEI."""


def sequence_parameters(codec: str, key_frame: Buffer) -> bytes | None:
    """The sequence parameter set of an Annex B key frame, None if it carries none.

    `codec` is `h264` (NAL type 7, ITU-T H.264 table 7-1) or `hevc` (type 33, H.265 table 7-1).
    """
    head = bytes(memoryview(key_frame)[:_SEARCHED_BYTES])
    if not head.startswith((_START_CODE, b"\0" + _START_CODE)):
        return None  # length-prefixed (MP4, FLV): its parameters stand in the container
    for unit in head.split(_START_CODE)[1:-1]:  # the last may have been cut short
        if unit and _is_sequence_parameters(codec, unit[0]):
            return unit.rstrip(b"\0")
    return None


def brings_other_record(packet: MediaPacket, record: bytes) -> bool:
    """A new configuration record comes with this packet, and is not `record`, as Annex B has none.

    Every packet is asked (1 us): the record stands before a key frame that may have been lost.
    """
    if not record.startswith(_RECORD_VERSION) or not packet.has_sidedata("new_extradata"):
        return False
    return bytes(packet.get_sidedata("new_extradata")) != record


class ParameterSets:
    """The parameter sets of a length-prefixed H.264 stream (MP4, FLV), which stand beside it.

    Muxers put them before IDR pictures only, and not before the other pictures at which decoding
    can begin (recovery points of an open GOP); a fragment that begins there could not be decoded.
    """

    def __init__(self, record: bytes) -> None:
        """`record`: an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1); else ignored."""
        self._length_bytes = (record[4] & 3) + 1 if len(record) > 6 and record[0] == 1 else 0
        self._units = b""
        place = 5
        for mask in (0x1F, 0xFF):  # sequence parameter sets, then picture parameter sets
            if not self._length_bytes or place >= len(record):
                self._units = b""
                return
            count, place = record[place] & mask, place + 1
            for _ in range(count):
                size = int.from_bytes(record[place : place + 2], "big")
                place += 2
                unit, place = record[place : place + size], place + size
                if size >> 8 * self._length_bytes:  # its length could not stand before it
                    self._length_bytes = 0
                    break
                self._units += size.to_bytes(self._length_bytes, "big") + unit

    def complete(self, key_frame: Buffer) -> bytes | None:
        """The key frame with the parameter sets before it; None if it needs none."""
        if not self._units or not self._is_recovery_point(key_frame):
            return None
        return self._units + bytes(key_frame)

    def _is_recovery_point(self, key_frame: Buffer) -> bool:
        head = memoryview(key_frame)[:_SEARCHED_BYTES]
        place = 0
        while place + self._length_bytes < len(head):
            kind = head[place + self._length_bytes] & 0x1F
            if kind in {1, 5, 7}:  # the first slice, of an IDR picture or another; or a set
                return kind == 1
            size = int.from_bytes(head[place : place + self._length_bytes], "big")
            place += self._length_bytes + size
        return False


def _is_sequence_parameters(codec: str, header: int) -> bool:
    return header & 0x1F == 7 if codec == "h264" else header >> 1 & 0x3F == 33


def picture_size(codec: str, key_frame: Buffer) -> tuple[int, int] | None:
    """(width, height) in pixels by decoding one Annex B key frame, None if it cannot be."""
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(codec, "r"))
    try:
        frames = [*decoder.decode(av.Packet(bytes(key_frame))), *decoder.decode(None)]
    except FFmpegError:
        return None
    return (frames[0].width, frames[0].height) if frames else None
