"""The provider that sends nothing anywhere: it says only what OpenCV measured.

Who is there and what they do cannot be measured this way, so the answer to both is "cannot tell".
"""

from collections.abc import Sequence

from analyzer.measurement import Measurement
from analyzer.outcome import Ok
from analyzer.pictures import DecodedPicture
from analyzer.prompt import Language
from analyzer.provider import Context
from shared.observation import Activity, Observation, Presence, View

_VIEW: dict[Language, dict[View, str]] = {
    "ko": {
        View.CLEAR: "화면이 보입니다",
        View.DARK: "화면이 어둡습니다. 불이 꺼졌거나 렌즈가 가려졌을 수 있습니다",
        View.COVERED: "화면이 거의 한 가지 색입니다. 렌즈가 가려졌을 수 있습니다",
    },
    "en": {
        View.CLEAR: "The picture can be seen",
        View.DARK: "The picture is dark; the light may be off or the lens covered",
        View.COVERED: "The picture is almost one colour; the lens may be covered",
    },
}
_SUMMARY: dict[Language, str] = {
    "ko": "{view}. 화면의 {share}가 바뀌었습니다.",
    "en": "{view}. {share} of it changed.",
}
_EVIDENCE: dict[Language, str] = {
    "ko": "측정값: 변화 {share}, 밝기 {brightness:.0f}/255, 밝기 편차 {spread:.0f}.",
    "en": "Measured: change {share}, brightness {brightness:.0f} of 255, spread {spread:.0f}.",
}


class LocalProvider:
    """Puts the measurement in words."""

    def describe(self, pictures: Sequence[DecodedPicture], context: Context) -> Ok:
        return Ok(in_words(context.measurement, context.language))


def in_words(measurement: Measurement, language: Language) -> Observation:
    """What was measured, and nothing more."""
    share = f"{measurement.changed_share:.1%}"
    view = measurement.view
    return Observation(
        evidence=_EVIDENCE[language].format(
            share=share, brightness=measurement.brightness, spread=measurement.spread
        ),
        activity=Activity.CANNOT_TELL,
        other_activity=None,
        adults=Presence.CANNOT_TELL,
        children=Presence.CANNOT_TELL,
        summary=_SUMMARY[language].format(view=_VIEW[language][view], share=share),
        view=view,
    )
