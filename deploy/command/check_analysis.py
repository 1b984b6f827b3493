"""Looks whether analysis can do what it is asked to: library, key, and who agreed to it.

Google is not asked: that would cost money.
"""

from datetime import date

from analyzer.consent import refusal
from analyzer.remote import Unusable, gemini
from deploy.command.finding import Finding, State
from shared.clock import Clock
from shared.config import Settings
from shared.errors import Misconfigured


def check_analysis(settings: Settings, clock: Clock) -> Finding:
    """Raises Misconfigured if the remote provider cannot be used."""
    analysis = settings.analysis
    if analysis.provider != "gemini":
        words = {
            "off": "off",
            "local": "local: measures pictures, and sends nothing anywhere",
        }
        return Finding("analysis", State.OK, words[analysis.provider])
    provider = gemini(analysis.gemini, clock)
    if isinstance(provider, Unusable):
        raise Misconfigured(provider.reason.reason)
    today = clock.now().astimezone(settings.zone).date()
    refused = _refused(settings, today)
    sent = [camera.id for camera in settings.cameras if camera.id not in refused]
    text = f"gemini, {analysis.gemini.model} through {analysis.gemini.sdk}; "
    text += f"pictures leave this machine for: {', '.join(sent) or 'no camera'}"
    if sent:
        return Finding("analysis", State.OK, text, {"sent": sent, "kept": refused})
    why = next(iter(refused.values()), "there is no camera")
    return Finding("analysis", State.WARN, f"{text} ({why})", {"sent": sent, "kept": refused})


def _refused(settings: Settings, today: date) -> dict[str, str]:
    """Cameras whose pictures stay here, and why."""
    found = {}
    for camera in settings.cameras:
        why = refusal(camera, settings.analysis.gemini, today)
        if why is not None:
            found[camera.id] = why[1]
    return found
