"""From a sample to its judgement: read, mask, measure, gate, ask.

The local provider judges every sample that passes the gate; the remote one is asked besides when
the configuration and the camera's consent allow it, and its words are taken when it has any. So a
remote provider that is misconfigured, over budget, blocked or away never leaves a sample unjudged:
the local judgement stands, with the remote state and its reason beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analyzer import consent, figures
from analyzer.gate import Gate
from analyzer.local import LocalProvider
from analyzer.measurement import Measurement, measure
from analyzer.outcome import Ok, Quota, Throttled, Usage
from analyzer.pictures import DecodedPicture, PictureReader, Polygon, Sketch
from analyzer.provider import Context, Provider
from shared import messages
from shared.analysis import Remote
from shared.clock import Clock
from shared.config import CameraSettings, Settings
from shared.errors import BadFragment, BadMessage, FragmentGone, Refused
from shared.log import Log
from shared.messages import Sample
from shared.observation import Observation
from shared.tracing import Steps, step


class NoPictures(Refused):
    """None of a sample's pictures could be had."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """What came of one sample. Without an observation the gate stayed closed."""

    measurement: Measurement
    observation: Observation | None
    remote: Remote | None
    picture: DecodedPicture
    """The one that changed most."""


class Judge:
    """Judges samples. Safe to use from many threads."""

    def __init__(
        self,
        settings: Settings,
        reader: PictureReader,
        remote: Provider | None,
        clock: Clock,
        log: Log,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._gate = Gate(settings.analysis.change_threshold)
        self._local = LocalProvider()
        self._remote = remote
        self._clock = clock
        self._log = log
        self._last: dict[str, tuple[str, int, Sketch]] = {}
        """Of each camera the last picture of the sample judged last: the next sample's `previous`,
        if that comes here too. Epoch and fragment say whether it is."""

    def camera_of(self, sample: Sample) -> CameraSettings:
        """The sample's camera. Raises BadMessage for one that is not ours to judge."""
        camera = self._settings.camera(sample.camera)
        if camera is None:
            raise BadMessage(f"camera {sample.camera} is not in the configuration")
        references = [*sample.pictures, *([sample.previous] if sample.previous else [])]
        if any(reference.camera != sample.camera for reference in references):
            raise BadMessage(f"a sample of {sample.camera} refers to another camera's pictures")
        return camera

    def judge(self, sample: Sample, steps: Steps | None = None) -> Judgement:
        """Raises BadMessage, or NoPictures when nothing can be seen of it any more."""
        camera = self.camera_of(sample)
        masks = camera.privacy_masks
        with step(steps, "decode"):
            previous = self._sketch(sample.previous, masks) if sample.previous else None
            pictures = self._read_all(sample, masks)
        with step(steps, "gate"):
            measurement = measure(pictures, previous)
            is_open = self._gate.opens(measurement, heartbeat=sample.heartbeat)
        picture = pictures[measurement.most_changed]
        if not is_open:
            return Judgement(measurement, None, None, picture)
        context = Context(self._settings.analysis.language, measurement)
        with step(steps, "provider"):
            observation = self._local.describe(pictures, context).observation
            if self._remote is None:
                return Judgement(measurement, observation, None, picture)
            remote, seen = self._ask(self._remote, camera, pictures, context)
        return Judgement(measurement, seen or observation, remote, picture)

    def _ask(
        self,
        provider: Provider,
        camera: CameraSettings,
        pictures: Sequence[DecodedPicture],
        context: Context,
    ) -> tuple[Remote, Observation | None]:
        gemini = self._settings.analysis.gemini
        today = self._clock.now().astimezone(self._settings.zone).date()
        refused = consent.refusal(camera, gemini, today)
        if refused is not None:
            return remote_facts(*refused, gemini.model, None), None
        outcome = provider.describe(pictures, context)
        figures.OUTCOMES.labels(camera.id, outcome.state).inc()
        if isinstance(outcome, Ok):
            return remote_facts("ok", "", gemini.model, outcome.usage), outcome.observation
        facts = remote_facts(outcome.state, outcome.reason, gemini.model, outcome.usage)
        until = outcome.until if isinstance(outcome, Throttled | Quota) else None
        return facts.model_copy(update={"until": until}), None

    def _read_all(self, sample: Sample, masks: Sequence[Polygon]) -> list[DecodedPicture]:
        pictures: list[DecodedPicture] = []
        for reference in sample.pictures:
            picture = self._read(reference, masks)
            if picture is not None:
                pictures.append(picture)
                last = (reference.epoch, reference.fragment, picture.sketch)
        if not pictures:
            raise NoPictures("none of the sample's pictures is there and whole")
        self._last[sample.camera] = last
        return pictures

    def _sketch(self, reference: messages.Picture, masks: Sequence[Polygon]) -> Sketch | None:
        """Of a picture that was perhaps read before."""
        last = self._last.get(reference.camera)
        if last is not None and last[:2] == (reference.epoch, reference.fragment):
            return last[2]
        picture = self._read(reference, masks)
        return None if picture is None else picture.sketch

    def _read(self, reference: messages.Picture, masks: Sequence[Polygon]) -> DecodedPicture | None:
        """None, counted and logged, for a picture that cannot be had."""
        try:
            return self._reader.read(reference, masks)
        except (FragmentGone, BadFragment) as error:
            reason = "gone" if isinstance(error, FragmentGone) else "damaged"
            figures.PICTURES_UNUSABLE.labels(reference.camera, reason).inc()
            self._log.warning(
                "picture left out",
                action="picture.unusable",
                camera=reference.camera,
                path=reference.path,
                reason=str(error),
            )
            return None


def remote_facts(state: str, reason: str, model: str, usage: Usage | None) -> Remote:
    """As a result holds them; without usage nothing was used."""
    counted = usage or Usage()
    return Remote(
        state=state,
        reason=reason[:300],
        model=model,
        requests=counted.requests,
        input_tokens=counted.input_tokens,
        output_tokens=counted.output_tokens,
    )
