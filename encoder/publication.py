"""What the world sees of one camera's live stream: playlist, events, figures.

Finished segments come in, in order; the playlist is replaced once for each handful of them. In a
folder it can be seen at once, in a bucket when it has arrived there; that counts. The camera is
live while fresh segments come, stalled when none has come for longer than any pause
between segments explains, and each change is an event. A playlist that cannot be written (disk
full) is counted and tried again with the next segment: the stream itself goes on.
"""

from collections.abc import Callable, Sequence
from typing import Final

from encoder import figures
from encoder.folder import LiveFolder
from encoder.playlist import Playlist, Segment, round_half_up
from shared.clock import Clock
from shared.config import LiveSettings
from shared.errors import SeatTaken
from shared.log import Log

STALLED_SECONDS: Final = 5.0
"""Without a segment for this long, and for three of the longest listed, the camera is stalled."""
FRESH_SECONDS: Final = 10.0
"""A segment whose pictures are older is published and proves nothing: the camera may be dead."""
LIVE_EVENT_SECONDS: Final = 5.0
"""A camera that is live says so this often, with its delay."""

Facts = dict[str, float | int | str]
Announce = Callable[[str, Facts], None]
"""Publishes an event of this camera: its name, its facts."""
OnLoop = Callable[[Callable[[], None]], None]


class Publication:
    """The public side of one camera; used by one thread."""

    def __init__(
        self,
        camera: str,
        folder: LiveFolder,
        settings: LiveSettings,
        announce: Announce,
        clock: Clock,
        log: Log,
        on_loop: OnLoop = lambda callback: callback(),
    ) -> None:
        """`on_loop` has a callback run on the thread that uses this."""
        self.state = "starting"
        """`starting`, `live` or `stalled`."""
        self._camera = camera
        self._folder = folder
        self._keep = settings.playlist_segments
        self._least_target_seconds = max(1, round_half_up(settings.segment_seconds))
        self._announce = announce
        self._clock = clock
        self._log = log
        self._playlist = Playlist.started_at(clock.now(), self._least_target_seconds)
        self._written = self._shown = self._playlist
        self._on_loop = on_loop
        self.shown: Callable[[Sequence[Segment]], None] = lambda _segments: None
        """Hears of segments that can be seen from now on."""
        self.lost: Callable[[str], None] = lambda _reason: None
        """Hears, with the reason, that another worker publishes here."""
        self.unseen = 0
        """Publications that cannot be seen yet."""
        self._progress_at = clock.monotonic()
        self._announced_at = float("-inf")
        self._delay_seconds = 0.0
        self._segments = figures.SEGMENTS.labels(camera)
        self._delays = figures.DELAY.labels(camera)

    def open(self) -> None:
        """Go on from the playlist that is there. Raises OSError."""
        self._playlist = self._folder.load(self._least_target_seconds)
        self._written = self._shown = self._playlist
        self._progress_at = self._clock.monotonic()

    @property
    def playlist(self) -> Playlist:
        """What was published last."""
        return self._written

    def add(self, segments: Sequence[Segment], then: Callable[[], None] = lambda: None) -> None:
        """Publish finished segments; `then` is called, on this thread, when they can be seen, or
        cannot."""
        for segment in segments:
            self._playlist = self._playlist.with_segment(
                segment, keep=self._keep, least_target_seconds=self._least_target_seconds
            )
        playlist = self._playlist
        self.unseen += 1

        def done(error: Exception | None) -> None:
            self._on_loop(lambda: self._done(playlist, segments, error, then))

        try:
            self._folder.write(playlist, self._written, done)
        except (SeatTaken, OSError) as error:
            self._done(playlist, segments, error, then)
            return
        self._written = playlist

    def _done(
        self,
        playlist: Playlist,
        segments: Sequence[Segment],
        error: Exception | None,
        then: Callable[[], None],
    ) -> None:
        self.unseen -= 1
        if error is None:
            self._see(playlist, segments)
        elif isinstance(error, SeatTaken):
            self.lost(str(error))
        else:
            figures.WRITE_FAILURES.labels(self._camera).inc()
            self._log.error("playlist not written", action="playlist.failed", reason=str(error))
        then()

    def _see(self, playlist: Playlist, segments: Sequence[Segment]) -> None:
        self._shown = playlist
        self.shown(segments)
        self._measure(segments)
        if (self._clock.now() - segments[-1].ended_at).total_seconds() < FRESH_SECONDS:
            self._progress_at = self._clock.monotonic()
            self._enter("live")

    def _measure(self, segments: Sequence[Segment]) -> None:
        now = self._clock.now()
        self._segments.inc(len(segments))
        for segment in segments:
            self._delay_seconds = (now - segment.captured_at).total_seconds()
            self._delays.observe(self._delay_seconds)

    def tick(self) -> None:
        """A turn for what depends on time."""
        now = self._clock.monotonic()
        listed = self._shown.segments
        longest = max((segment.duration_seconds for segment in listed), default=0.0)
        if now - self._progress_at > max(STALLED_SECONDS, 3 * longest):
            self._enter("stalled")
        elif self.state == "live" and now - self._announced_at >= LIVE_EVENT_SECONDS:
            self._tell()
        if listed:
            age = self._clock.now() - listed[-1].ended_at
            figures.AGE.labels(self._camera).set(age.total_seconds())
        try:
            self._folder.clean()
        except OSError as error:  # it goes with the next clean-up of leftovers
            self._log.warning("old live output stays", action="live.uncleaned", reason=str(error))

    def _enter(self, state: str) -> None:
        if self.state == state:
            return
        self._log.info(f"camera is {state}", action=f"live.{state}", was=self.state)
        self.state = state
        figures.STALLED.labels(self._camera).set(state == "stalled")
        self._tell()

    def _tell(self) -> None:
        self._announced_at = self._clock.monotonic()
        facts: Facts = {"media_sequence": self._shown.media_sequence}
        if self._shown.segments:
            newest = self._shown.segments[-1]
            facts |= {"newest_at": newest.ended_at.isoformat(), "generation": newest.generation}
        if self.state == "live":
            facts["delay_seconds"] = round(self._delay_seconds, 3)
        self._announce(self.state, facts)
