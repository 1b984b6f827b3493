"""FLV as servers send it: each film begins with a header of its own that says its parameters.

RTMP carries the same tags. A camera that is switched to another resolution sends a new sequence
header on the same connection, and its key frames say nothing of it.
"""

from pathlib import Path

import av

_HEADER_BYTES = 13
_TAG_BYTES = 15
"""Of a tag around its data, with the size that follows it."""
_VIDEO = 9


def join(videos: list[Path], target: Path) -> Path:
    """The pictures of these videos in one stream, without the sound."""
    data = bytearray()
    begins_at = 0
    for video in videos:
        film = _film(video, target.with_suffix(".part.flv"))
        data += film[: 0 if data else _HEADER_BYTES]
        begins_at = _append(data, film, begins_at)
    target.write_bytes(data)
    return target


def _film(video: Path, target: Path) -> bytes:
    with av.open(str(video)) as source, av.open(str(target), "w") as film:
        stream = film.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                film.mux(packet)
    return target.read_bytes()


def _append(data: bytearray, film: bytes, begins_at: int) -> int:
    """Returns when the next film may begin (milliseconds)."""
    place, latest = _HEADER_BYTES, begins_at
    while place < len(film):
        end = place + _TAG_BYTES + int.from_bytes(film[place + 1 : place + 4], "big")
        tag = bytearray(film[place:end])
        milliseconds = int.from_bytes(tag[4:7], "big") + begins_at
        tag[4:7] = milliseconds.to_bytes(3, "big")
        if tag[0] == _VIDEO:
            data += tag
            latest = max(latest, milliseconds)
        place = end
    return latest + 34
