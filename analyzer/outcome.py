"""What came of asking a provider: one of seven frozen values, never an exception.

A provider answers `Ok` with an observation, or says why there is none: the model would not
(`Blocked`), it answered nonsense (`Invalid`), it asked to wait (`Throttled`), the day is used up
(`Quota`), it could not be reached (`Unavailable`), or a person must act (`Misconfigured`). The
retry layer and the breaker read the type, the budget reads `usage`, people read `reason`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from shared.observation import Observation


@dataclass(frozen=True)
class Usage:
    """What a call has used, as far as the provider said."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    """Thinking included: it is paid like output."""

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.requests + other.requests,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


NO_CALL = Usage()
REFUSED_CALL = Usage(requests=1)
"""A request that was answered with an error: it counts, and used no tokens."""


@dataclass(frozen=True)
class Ok:
    """The pictures were judged."""

    state: ClassVar[str] = "ok"
    observation: Observation
    usage: Usage | None = NO_CALL
    """None, here and below: unknown, so the worst case is taken as used."""


@dataclass(frozen=True)
class Blocked:
    """The provider's own rules keep it from answering; asking again is of no use."""

    state: ClassVar[str] = "blocked"
    reason: str
    usage: Usage | None = REFUSED_CALL


@dataclass(frozen=True)
class Invalid:
    """An answer came that is not what was asked for."""

    state: ClassVar[str] = "invalid"
    reason: str
    usage: Usage | None = REFUSED_CALL


@dataclass(frozen=True)
class Throttled:
    """Too many calls in a short time. `until` is UTC."""

    state: ClassVar[str] = "throttled"
    reason: str
    until: datetime
    usage: Usage | None = REFUSED_CALL


@dataclass(frozen=True)
class Quota:
    """A day's quota is used up: the provider's, or the budget of this house. `until` is UTC."""

    state: ClassVar[str] = "quota"
    reason: str
    until: datetime
    usage: Usage | None = REFUSED_CALL


@dataclass(frozen=True)
class Unavailable:
    """The provider did not answer, or said that it cannot now."""

    state: ClassVar[str] = "unavailable"
    reason: str
    usage: Usage | None = REFUSED_CALL


@dataclass(frozen=True)
class Misconfigured:
    """A person must change something; `reason` names the key or the package and what to do."""

    state: ClassVar[str] = "misconfigured"
    reason: str
    until_restart: bool = False
    """Nothing outside this process can mend it, so it is not tried again."""
    usage: Usage | None = NO_CALL


Outcome = Ok | Blocked | Invalid | Throttled | Quota | Unavailable | Misconfigured
