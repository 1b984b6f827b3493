"""What may be said of a room: care words only, closed, bounded, without contradictions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from analyzer.wire import WireObservation, plain_text, wire_schema
from shared.observation import TEXT_CHARACTERS, Activity, Observation, Presence, View

WIRE = {
    "evidence": "Two small children sit on a mat.",
    "main_activity": "playing",
    "other_activity": "none",
    "present_adults": "one",
    "present_children": "several",
    "summary": "Two children play on the mat, an adult sits beside them.",
    "view": "clear",
}


def wire(**changed: Any) -> WireObservation:
    return WireObservation.model_validate({**WIRE, **changed})


def test_an_answer_becomes_an_observation() -> None:
    observation = wire(other_activity="resting").to_observation()
    assert observation.activity is Activity.PLAYING
    assert observation.other_activity is Activity.RESTING
    assert (observation.adults, observation.children) == (Presence.ONE, Presence.SEVERAL)
    assert observation.view is View.CLEAR


def test_cannot_tell_is_always_legal() -> None:
    unknown = dict.fromkeys(
        ("main_activity", "other_activity", "present_adults", "present_children", "view"),
        "cannot_tell",
    )
    observation = wire(**unknown).to_observation()
    assert observation.activity is Activity.CANNOT_TELL
    assert observation.other_activity is None


@pytest.mark.parametrize("name", list(WIRE))
def test_every_field_is_required(name: str) -> None:
    with pytest.raises(ValidationError):
        WireObservation.model_validate({key: WIRE[key] for key in WIRE if key != name})


@pytest.mark.parametrize("name", ["main_activity", "other_activity", "present_adults", "view"])
def test_a_word_that_is_not_in_the_enum_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        wire(**{name: "intruder"})


def test_a_field_nobody_asked_for_is_refused() -> None:
    with pytest.raises(ValidationError):
        wire(alert=True)


@pytest.mark.parametrize(
    "contradiction",
    [
        {"present_children": "none", "main_activity": "playing"},
        {"present_children": "none", "main_activity": "out_of_view", "other_activity": "crying"},
        {"present_adults": "none", "main_activity": "with_carer"},
    ],
)
def test_a_contradiction_is_refused(contradiction: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="and yet"):
        wire(**contradiction).to_observation()


def test_the_stored_model_takes_no_loose_types_and_no_empty_text() -> None:
    good = wire().to_observation().model_dump()
    with pytest.raises(ValidationError):
        Observation.model_validate({**good, "activity": "playing"})
    with pytest.raises(ValueError, match="evidence"):
        wire(evidence="\u200b \n").to_observation()


@given(st.text(max_size=2000))
def test_text_is_one_bounded_line_without_control_characters(text: str) -> None:
    line = plain_text(text)
    assert len(line) <= TEXT_CHARACTERS
    assert all(character.isprintable() for character in line)
    assert plain_text(line) == line


def test_the_schema_is_flat_closed_and_asks_for_evidence_first() -> None:
    schema = wire_schema()
    names = list(schema["properties"])
    assert names == sorted(names) == schema["required"] == list(WireObservation.model_fields)
    assert names[0] == "evidence"
    assert all(each["type"] == "STRING" for each in schema["properties"].values())
    for name in ("main_activity", "other_activity", "present_adults", "present_children", "view"):
        assert "cannot_tell" in schema["properties"][name]["enum"]
        for word in schema["properties"][name]["enum"]:
            wire(**{"main_activity": "out_of_view", "present_children": "several", name: word})
