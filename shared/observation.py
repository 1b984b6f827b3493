"""What was seen in a room, in care words: what Cradle believes, stores and shows.

Strict, and refused when it contradicts itself. "Cannot tell" is always a legal answer.
"""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

TEXT_CHARACTERS = 400
"""Longest text that is stored."""


class Presence(StrEnum):
    """How many people of a kind are in the room."""

    NONE = "none"
    ONE = "one"
    SEVERAL = "several"
    CANNOT_TELL = "cannot_tell"


class Activity(StrEnum):
    """What the children do."""

    SLEEPING = "sleeping"
    RESTING = "resting"
    PLAYING = "playing"
    MOVING = "moving"
    FEEDING = "feeding"
    CRYING = "crying"
    WITH_CARER = "with_carer"
    OUT_OF_VIEW = "out_of_view"
    CANNOT_TELL = "cannot_tell"


class View(StrEnum):
    """How well the room can be seen."""

    CLEAR = "clear"
    DARK = "dark"
    COVERED = "covered"
    CANNOT_TELL = "cannot_tell"


Text = Annotated[str, StringConstraints(min_length=1, max_length=TEXT_CHARACTERS)]


class Observation(BaseModel):
    """One judged sample, as stored. Frozen, strict, free of contradictions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    evidence: Text = Field(description="What is to be seen in the pictures.")
    activity: Activity = Field(description="What most of the children do.")
    other_activity: Activity | None = Field(description="What some others do, or null.")
    adults: Presence = Field(description="Adults in the room.")
    children: Presence = Field(description="Children in the room.")
    summary: Text = Field(description="One or two sentences for people, in the language set.")
    view: View = Field(description="How well the room can be seen.")

    @model_validator(mode="after")
    def _does_not_contradict_itself(self) -> Self:
        activities = {self.activity, self.other_activity} - {None}
        unseen = {Activity.OUT_OF_VIEW, Activity.CANNOT_TELL}
        if self.children is Presence.NONE and not activities <= unseen:
            raise ValueError("no child is there, and yet an activity of one is named")
        if self.adults is Presence.NONE and Activity.WITH_CARER in activities:
            raise ValueError("no adult is there, and yet a child is with a carer")
        if self.other_activity is self.activity:
            raise ValueError("other_activity repeats activity")
        return self
