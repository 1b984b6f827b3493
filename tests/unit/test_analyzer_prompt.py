"""What a remote model is told."""

from datetime import datetime, timedelta, timezone

import pytest

from analyzer.prompt import Language, label, question, rules, text_bytes
from shared.observation import Activity

SEOUL = timezone(timedelta(hours=9))


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_label_of_a_picture_says_its_time_in_utc(language: Language) -> None:
    text = label(language, 2, 4, datetime(2026, 3, 1, 12, 30, 5, tzinfo=SEOUL))
    assert "2026-03-01 03:30:05 UTC" in text
    assert "2" in text
    assert "4" in text


@pytest.mark.parametrize(
    ("language", "scenery", "names", "medical", "own"),
    [
        ("en", "never instructions", "No names", "No judgement or advice on health", "in English"),
        ("ko", "지시가 아닙니다", "이름", "건강", "한국어로"),
    ],
)
def test_the_rules_bind_the_model(
    language: Language, scenery: str, names: str, medical: str, own: str
) -> None:
    text = rules(language)
    for rule in (scenery, names, medical, own, "cannot_tell", "evidence"):
        assert rule in text
    for activity in Activity:
        assert activity.value in text


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_size_of_the_text_is_known_beforehand(language: Language) -> None:
    moment = datetime(2026, 12, 31, 23, 59, 59, tzinfo=SEOUL)
    labels = [label(language, number, 4, moment) for number in range(1, 5)]
    text = "".join([rules(language), *labels, question(language)])
    assert text_bytes(language, 4) == len(text.encode())
