"""What a remote model is asked to write, and how it becomes an `Observation`.

The wire model is flat, every field required, closed enums, bounded strings, evidence before
verdict. Its fields stand in alphabetical order, because google-generativeai cannot send an order
and Gemini then writes them alphabetically (source: "property ordering" in Google's structured
output guide).
"""

import unicodedata
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from shared.observation import TEXT_CHARACTERS, Activity, Observation, Presence, View

WireText = Annotated[str, StringConstraints(max_length=4000)]


class WireObservation(BaseModel):
    """The answer asked of a remote model. Field order is answer order: do not sort by taste."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    evidence: WireText = Field(description="What is plainly visible, picture by picture.")
    main_activity: Activity = Field(description="What most of the children do.")
    other_activity: Activity | Literal["none"] = Field(
        description="What some other children do; none if all do the same."
    )
    present_adults: Presence = Field(description="Adults in the room.")
    present_children: Presence = Field(description="Children in the room.")
    summary: WireText = Field(description="One or two plain sentences about the whole interval.")
    view: View = Field(description="How well the room can be seen.")

    def to_observation(self) -> Observation:
        """The same in the domain's terms. Raises ValueError when it contradicts itself."""
        same = self.other_activity in {"none", self.main_activity}
        return Observation(
            evidence=plain_text(self.evidence),
            activity=self.main_activity,
            other_activity=None if same else Activity(self.other_activity),
            adults=self.present_adults,
            children=self.present_children,
            summary=plain_text(self.summary),
            view=self.view,
        )


def plain_text(text: str, limit: int = TEXT_CHARACTERS) -> str:
    """One line without control or direction characters, cut to `limit` characters."""
    kept = "".join(
        " " if character.isspace() else character
        for character in text
        if character.isspace() or not unicodedata.category(character).startswith("C")
    )
    line = " ".join(kept.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def wire_schema() -> dict[str, Any]:
    """`WireObservation` in the part of OpenAPI that both Gemini libraries can send."""
    enums: dict[str, type[StrEnum]] = {
        "main_activity": Activity,
        "present_adults": Presence,
        "present_children": Presence,
        "view": View,
    }
    properties: dict[str, Any] = {}
    for name, field in WireObservation.model_fields.items():
        properties[name] = {"type": "STRING", "description": field.description}
        if name in enums:
            properties[name]["enum"] = [member.value for member in enums[name]]
    properties["other_activity"]["enum"] = [*(member.value for member in Activity), "none"]
    return {"type": "OBJECT", "properties": properties, "required": list(properties)}
