"""The page's words: each that is used is there, in both languages, and none is left over."""

import re
from pathlib import Path

from analyzer.outcome import Blocked, Invalid, Misconfigured, Ok, Quota, Throttled, Unavailable
from shared.coverage.causes import Cause
from shared.observation import Activity, Presence

ASSETS = Path(__file__).parents[2] / "viewer/page/assets"
WORDS = (ASSETS / "words.js").read_text(encoding="utf-8")
TABLE = WORDS[WORDS.index("const WORDS") : WORDS.index("const CAUSES")]
ENTRIES = re.findall(r'^  (\w+): \[\s*"([^"]+)",\s*"([^"]+)",?\s*\],$', TABLE, re.MULTILINE)
SCRIPTS = "\n".join(
    path.read_text(encoding="utf-8") for path in ASSETS.glob("*.js") if path.name != "words.js"
)


def test_every_word_stands_there_in_korean_and_in_english() -> None:
    assert len(ENTRIES) == len(re.findall(r"^  \w+: \[", TABLE, re.MULTILINE)) > 100
    same_in_both = {"reference", "judged_gemini", "link_grafana", "otherLanguage"}
    for key, korean, english in ENTRIES:
        assert not re.search("[가-힣]", english) or key in same_in_both, key
        assert re.search("[가-힣]", korean) or key in same_in_both, key
        assert set(re.findall(r"{(\w+)}", korean)) == set(re.findall(r"{(\w+)}", english)), key


def test_every_word_that_a_script_asks_for_is_there() -> None:
    known = {key for key, _, _ in ENTRIES}
    asked = set(re.findall(r'\bt\("(\w+)"', SCRIPTS))
    asked |= {
        word
        for choice in re.findall(r"\bt\(([^()]*\?[^()]*)[,)]", SCRIPTS)
        for word in re.findall(r'"(\w+)"', choice)
    }
    assert len(asked) > 60
    assert asked - known - {"operator"} == set()


def test_what_the_stages_can_say_has_words() -> None:
    known = {key for key, _, _ in ENTRIES}
    assert {f"activity_{each.value}" for each in Activity} <= known
    assert {f"presence_{each.value}" for each in Presence} <= known
    states = ("live", "stalled", "offline", "unknown", "starting", "stale")
    assert {f"state_{each}" for each in states} <= known
    outcomes = (Blocked, Invalid, Misconfigured, Ok, Quota, Throttled, Unavailable)
    providers = {each.state for each in outcomes} | {"local", "off", "unknown"}
    providers |= {"no_consent", "unpaid"}
    assert {f"provider_{each}" for each in providers} <= known
    for each in Cause:
        assert f'"{each.value}":' in WORDS or f"  {each.value}:" in WORDS, each


def test_no_word_is_left_over() -> None:
    families = ("state_", "activity_", "presence_", "judged_", "provider_", "link_", "expired_")
    for key, _, _ in ENTRIES:
        is_used = re.search(rf'"{key}"', SCRIPTS) or f't("{key}")' in WORDS
        assert key.startswith(families) or is_used, key
