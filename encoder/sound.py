"""The sound of the running generation, as the bytes show it that are fed.

Only what is needed is read: the fragment's first second when a generation starts, the first batch
of each fragment, and further ones until sound is heard in them.
"""

from typing import Final

from encoder.cursor import begins_fragment
from encoder.silence import SoundTrack, sound_format
from shared.framestore import FragmentReader
from shared.messages import Batch
from shared.transport import PACKET_BYTES

SEARCHED_PACKETS: Final = 80_000
"""For sound: 15 MB, more than a second of any camera."""


class FedSound:
    """Says which silence is to be fed around each batch."""

    def __init__(self, reader: FragmentReader) -> None:
        self._reader = reader
        self._track: SoundTrack | None = None

    def begin(self, first: Batch, end: int) -> bool:
        """A generation begins with `first`, of whose fragment `end` bytes are there; says whether
        sound is announced. Raises FragmentGone, BadFragment."""
        self._track = None
        if first.stream.audio_codec is not None:
            self._track = SoundTrack(sound_format(self._read(first.path, 0, end)))
        return self._track is not None

    @property
    def changed(self) -> bool:
        """Real sound came that is not as it was invented: a new generation is needed."""
        return self._track is not None and self._track.changed

    def leave_out(self) -> None:
        """Batches are left out before the next one."""
        if self._track is not None:
            self._track.leave_out()

    def before(self, batch: Batch) -> bytes:
        """What belongs before it. Raises FragmentGone, BadFragment."""
        begins, track = begins_fragment(batch), self._track
        if track is None or (track.heard and not begins):
            return b""
        data = self._read(batch.path, batch.offset, batch.bytes)
        if begins:
            return track.begin_fragment(data)
        track.look(data)
        return b""

    def after(self) -> bytes:
        """What belongs after the batch that was fed."""
        return b"" if self._track is None else self._track.opening()

    def _read(self, path: str, offset: int, length: int) -> bytes:
        return self._reader.read(path, offset, min(length, SEARCHED_PACKETS * PACKET_BYTES))
