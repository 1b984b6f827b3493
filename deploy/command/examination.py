"""One clip against its manifest: is it, byte for byte and frame for frame, what was committed?

The SHA-256 says whether a byte has changed; what else is looked at says whether what was committed
was right: frames counted and in order, from a key frame on, of the size and for the time that the
manifest tells. Where the original bytes were kept because they could not be converted, only what
the archiver could count is expected again.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av

from shared.manifest import Manifest

SLACK_SECONDS: Final = 1.0
"""A clip's length may differ from its manifest's: the last frame's length is taken from the rate,
and a pause in the camera's timestamps is closed or not."""


def examine(path: Path, manifest: Manifest, *, decode: bool) -> list[str]:
    """What is wrong with the object of a clip, in words; nothing if it is as its manifest says."""
    return [*_bytes(path, manifest), *_media(path, manifest, decode=decode)]


def _bytes(path: Path, manifest: Manifest) -> Iterator[str]:
    size = path.stat().st_size
    if size != manifest.bytes:
        yield f"it has {size} bytes and not {manifest.bytes}"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != manifest.sha256:
        yield f"its SHA-256 is {found} and not {manifest.sha256}"


def _media(path: Path, manifest: Manifest, *, decode: bool) -> list[str]:
    form = {"mp4": "mp4", "ts": "mpegts"}[manifest.container]
    try:
        with av.open(str(path), "r", format=form) as file:
            found = list(_packets(file, manifest))
        if decode and not found:
            with av.open(str(path), "r", format=form) as file:
                found = list(_pictures(file, manifest))
    except (av.FFmpegError, IndexError) as error:
        return [] if _was_unreadable(manifest) else [f"it cannot be read: {error}"]
    return found


def _was_unreadable(manifest: Manifest) -> bool:
    """The archiver could not read it either, said so, and kept it."""
    return manifest.container == "ts" and manifest.probed_frames is None


def _expected_frames(manifest: Manifest) -> int | None:
    return manifest.frames if manifest.container == "mp4" else manifest.probed_frames


def _packets(file: av.container.InputContainer, manifest: Manifest) -> Iterator[str]:
    video = file.streams.video[0]
    count = disordered = 0
    last: int | None = None
    first_pts: int | None = None
    end_pts = 0
    for packet in file.demux(video):
        if not packet.size:
            continue
        if not count and not packet.is_keyframe:
            yield "it does not begin with a key frame"
        count += 1
        if packet.dts is not None:
            disordered += last is not None and packet.dts <= last
            last = packet.dts
        if packet.pts is not None:
            first_pts = packet.pts if first_pts is None else min(first_pts, packet.pts)
            end_pts = max(end_pts, packet.pts + (packet.duration or 0))
    expected = _expected_frames(manifest)
    if expected is not None and count != expected:
        yield f"{count} frames are in it and not {expected}"
    if manifest.container != "mp4":
        return
    if disordered:
        yield f"{disordered} frames stand before one that is older"
    seconds = 0.0
    if first_pts is not None and video.time_base is not None:
        seconds = float((end_pts - first_pts) * video.time_base)
    told = (manifest.ends_at - manifest.starts_at).total_seconds()
    pauses = sum(
        (each.ends_at - each.starts_at).total_seconds()
        for each in manifest.gaps
        if each.starts_at >= manifest.starts_at
    )
    if not told - pauses - SLACK_SECONDS <= seconds <= told + SLACK_SECONDS:
        yield f"it is {seconds:.1f} s long and not {told:.1f} s"
    yield from _parameters(video, manifest)


def _parameters(video: av.VideoStream, manifest: Manifest) -> Iterator[str]:
    stream, context = manifest.stream, video.codec_context
    if context.name != stream.video_codec:
        yield f"its video is {context.name} and not {stream.video_codec}"
    size = (context.width, context.height)
    if stream.width and size != (stream.width, stream.height):
        yield f"its pictures are {size[0]}x{size[1]} and not {stream.width}x{stream.height}"


def _pictures(file: av.container.InputContainer, manifest: Manifest) -> Iterator[str]:
    count = sum(1 for _ in file.decode(video=0))
    expected = _expected_frames(manifest)
    if expected is not None and count != expected:
        yield f"{count} pictures can be decoded and not {expected}"
