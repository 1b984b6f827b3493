"""May pictures of this room leave the house? Asked for every sample; by default they may not."""

from datetime import date

from shared.config import CameraSettings, GeminiSettings


def refusal(camera: CameraSettings, gemini: GeminiSettings, today: date) -> tuple[str, str] | None:
    """Why pictures of `camera` stay here: (one word, a sentence); None if they may be sent.

    `today` is the local day.
    """
    if not gemini.paid_tier_confirmed:
        return "unpaid", (
            "analysis.gemini.paid_tier_confirmed is not true: the unpaid tier's terms rule out "
            "such pictures"
        )
    if camera.remote_analysis is None:
        return "no-consent", f"cameras.{camera.id}.remote_analysis: no consent is recorded"
    if date.fromisoformat(camera.remote_analysis.consent_date) > today:
        return "no-consent", (
            f"cameras.{camera.id}.remote_analysis.consent_date: lies in the future"
        )
    return None
