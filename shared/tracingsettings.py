"""The section `tracing` of the configuration: where spans go, and of how many fragments."""

from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from shared.section import Section
from shared.source import split_address


class TracingSettings(Section):
    """OpenTelemetry. See `shared/tracing.py`."""

    endpoint: str | None = Field(
        None,
        description="OTLP/HTTP address of a collector; without one nothing is traced or sent.",
    )
    sample_ratio: float = Field(
        0.01, ge=0, le=1, description="Share of fragments whose way is told, decided at ingest."
    )
    service_namespace: Annotated[str, StringConstraints(pattern=r"^[\w.-]{1,60}$")] = Field(
        "cradle", description="Tells several houses apart that share a collector."
    )

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        parts = split_address(endpoint)
        if parts.scheme not in {"http", "https"} or parts.query or parts.fragment:
            raise ValueError("must look like http://collector:4318")
        if parts.username is not None:
            raise ValueError(
                "must not name a user; what the collector wants to see goes into the environment "
                "variable OTEL_EXPORTER_OTLP_HEADERS"
            )
        return endpoint.rstrip("/")
