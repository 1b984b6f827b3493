"""Silence for sound that pauses: real AAC in real transport packets, in the right places."""

import io

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encoder.silence import (
    INVENTED,
    LAG_TICKS,
    TICKS,
    SoundFormat,
    SoundTrack,
    silence,
    sound_format,
    sound_offsets,
    without_early_sound,
)
from shared.transport import PACKET_BYTES, frame_offsets, frame_time, packets

STEREO_44100 = SoundFormat(profile=1, rate_index=4, channels=2)


def fragment(start_seconds: float, *, sound: bool, seconds: float = 1.0) -> bytes:
    """A fragment as ingest's muxer writes it, with 44.1 kHz stereo."""
    memory = io.BytesIO()
    options = {"mpegts_flags": "initial_discontinuity"}
    with av.open(memory, "w", format="mpegts", container_options=options) as container:
        video = container.add_stream("libx264", rate=10)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream("aac", rate=44100)
        audio.layout = "stereo"
        for number in range(round(seconds * 10)):
            picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
            picture.pts = round(start_seconds * 10) + number
            container.mux(video.encode(picture))
        for number in range(round(seconds * 43) if sound else 0):
            samples = np.zeros((2, 1024), np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate = 44100
            frame.pts = round(start_seconds * 44100) + number * 1024
            container.mux(audio.encode(frame))
        for stream in (video, audio):
            container.mux(stream.encode(None))
    return memory.getvalue()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_index", [3, 4, 8, 11])
def test_a_silent_frame_is_aac_that_decodes_to_silence(channels: int, rate_index: int) -> None:
    frame = SoundFormat(1, rate_index, channels).silent_frame
    assert frame is not None
    decoder = av.CodecContext.create("aac", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    (decoded,) = decoder.decode(av.Packet(frame))
    assert decoded.samples == 1024
    assert decoded.layout.nb_channels == channels
    assert not decoded.to_ndarray().any()


def test_a_format_that_we_have_no_silence_for_gets_none() -> None:
    assert silence(SoundFormat(1, 3, 6), 0, TICKS) == (b"", 0)
    assert silence(SoundFormat(0, 3, 2), 0, TICKS) == (b"", 0)


@given(st.integers(0, 2**33 - 200 * TICKS), st.integers(0, 30 * TICKS), st.sampled_from([1, 2]))
def test_silence_fills_a_stretch_up_to_its_end(start: int, length: int, channels: int) -> None:
    sound = SoundFormat(1, 3, channels)
    made, end = silence(sound, start, start + length)
    assert len(packets(made)) == len(made) // PACKET_BYTES
    assert start + length - sound.frame_ticks - 1 <= end <= start + length
    times = [frame_time(made, int(offset)) for offset in sound_offsets(made)]
    assert times[:1] == ([start] if made else [])
    assert times == sorted(times, key=lambda time: time or 0)
    assert sound_format(made) == (sound if made else None)


def test_the_format_of_real_sound_is_read() -> None:
    assert sound_format(fragment(10, sound=True)) == STEREO_44100
    assert sound_format(fragment(10, sound=False)) is None


def silent_seconds(made: bytes) -> tuple[float, float] | None:
    """From where to about where."""
    times = [frame_time(made, int(offset)) or 0 for offset in sound_offsets(made)]
    return (times[0] / TICKS, times[-1] / TICKS) if times else None


def test_only_fragments_without_sound_are_filled() -> None:
    track = SoundTrack(STEREO_44100)
    made = [
        track.begin_fragment(fragment(10 + number, sound=number not in {1, 2}))
        for number in range(5)
    ]
    assert [bool(each) for each in made] == [False, False, True, True, False]
    assert not track.changed


def test_the_silence_of_fragments_in_a_row_is_unbroken() -> None:
    track = SoundTrack(STEREO_44100)
    made = b"".join(track.begin_fragment(fragment(10 + number, sound=False)) for number in range(4))
    memory = io.BytesIO(fragment(0, sound=False) + made)
    with av.open(memory, "r", format="mpegts") as container:
        times = [
            float(packet.pts * packet.time_base)
            for packet in container.demux(audio=0)
            if packet.pts is not None
        ]
    steps = np.diff(times)
    assert abs(steps - 1024 / 44100).max() < 0.001
    assert times[-1] == pytest.approx(13 - LAG_TICKS / TICKS, abs=0.05)


def test_sound_that_begins_later_in_the_fragment_counts() -> None:
    track = SoundTrack(STEREO_44100)
    track.begin_fragment(fragment(10, sound=False))
    track.look(fragment(10, sound=True))
    assert track.begin_fragment(fragment(11, sound=False)) == b""


def test_a_track_of_which_nothing_is_known_opens_with_invented_sound() -> None:
    track = SoundTrack(None)
    assert track.opening() == b""
    track.begin_fragment(fragment(10, sound=False))
    made = track.opening()
    assert sound_format(made) == INVENTED
    assert track.opening() == b""
    assert not track.changed
    track.look(fragment(10, sound=True))
    assert track.changed


def test_a_track_that_is_known_needs_no_opening() -> None:
    track = SoundTrack(STEREO_44100)
    track.begin_fragment(fragment(10, sound=False))
    assert track.opening() == b""


@pytest.mark.parametrize("frames", [0, 5, 10])
def test_early_sound_is_taken_out_and_all_else_stays_in_its_place(frames: int) -> None:
    data = fragment(1.0, sound=True)
    made = without_early_sound(data, frames)
    begins = [*frame_offsets(data), len(data)]
    assert len(made) == len(data)
    assert list(frame_offsets(made)) == begins[:-1]
    late = [offset for offset in sound_offsets(data) if offset >= begins[frames]]
    assert list(sound_offsets(made)) == late
    assert made[begins[frames] :] == data[begins[frames] :]
    changed = [
        row for row, old in zip(packets(made), packets(data), strict=True) if any(row != old)
    ]
    assert all(row[3] & 0x30 == 0x20 and row[5] == 0x80 for row in changed)  # empty, and a break
    assert len(late) < len(sound_offsets(data)) or frames == 0


def test_what_follows_early_sound_is_read_without_a_fault() -> None:
    """Behind other fragments, whose packets are numbered otherwise."""
    hole = fragment(0.0, sound=True) + without_early_sound(fragment(3.0, sound=True), 5)
    with av.open(io.BytesIO(hole), "r", format="mpegts") as container:
        read = [
            (packet.stream.type, packet.is_corrupt) for packet in container.demux() if packet.size
        ]
    assert read.count(("video", False)) == 20
    assert ("audio", False) in read
    assert not any(corrupt for _, corrupt in read)


def test_taking_out_sound_that_is_not_there_changes_nothing() -> None:
    silent = fragment(1.0, sound=False)
    assert without_early_sound(silent, 2) == silent
