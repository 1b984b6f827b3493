"""`cradle.yaml` and its environment twins, checked once at start.

Every key can also come from the environment (`CRADLE_ARCHIVE__ENDPOINT` for `archive.endpoint`),
which wins over the file. Unknown keys are refused. `load` turns every fault into one sentence that
names the key (`shared/configfile.py`). Secrets are `SecretStr`: printing a model shows none.
"""

import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from shared.bucketplace import BUCKET_PATTERN, BucketPlace, bucket_place, check_place
from shared.configfile import ENV_DELIMITER, ENV_PREFIX, BadConfiguration, sentences, unknown_names
from shared.configfile import read_mapping as read_mapping  # noqa: PLC0414 - for callers
from shared.errors import Misconfigured
from shared.messages import CameraId, Stage
from shared.section import Section
from shared.source import SourceAddress, file_path, parse_source, split_address
from shared.topology import ArchiveQueue
from shared.tracingsettings import TracingSettings
from shared.viewersettings import ViewerSettings

Point = tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]]
Polygon = Annotated[list[Point], Field(min_length=3)]


LAWFUL_RETENTION_DAYS = 60
"""Korea's Child Care Act: footage of childcare rooms is kept for 60 days."""
LATE_SECONDS = 3600.0
"""From a fragment's age at which all janitors delete it to their word of it in the bucket."""


class BrokerSettings(Section):
    url: SecretStr = Field(
        SecretStr("amqp://guest:guest@127.0.0.1:5672/"),
        description="AMQP address of RabbitMQ, with user and password.",
    )
    heartbeat_seconds: int = Field(
        10, ge=2, le=60, description="A frozen worker loses its seats after about twice this."
    )
    archive_queue: ArchiveQueue = Field(
        ArchiveQueue.CLASSIC,
        description="`quorum` keeps what waits for the archive on most nodes of a cluster of "
        "three; the same for every worker.",
    )

    @field_validator("url")
    @classmethod
    def _is_amqp(cls, url: SecretStr) -> SecretStr:
        if split_address(url.get_secret_value()).scheme not in {"amqp", "amqps"}:
            raise ValueError("must look like amqp://user:password@host:5672/vhost")
        return url


class FrameSettings(Section):
    url: str = Field(
        "file:///var/lib/cradle/frames",
        description="Where fragments are kept: file:///a/folder, or s3://bucket/prefix on the "
        "archive's server, for stages on different hosts.",
    )
    spool: str = Field(
        "file:///var/lib/cradle/spool",
        description="With an s3:// url: folder of ingest alone, for what is not uploaded yet.",
    )
    spool_gib: float = Field(
        20, gt=0, description="With an s3:// url: at this size of the spool the oldest go."
    )
    batch_seconds: float = Field(
        0.5, ge=0.1, le=5, description="How often a growing fragment is written and announced."
    )
    retention_hours: float = Field(
        24, gt=0, le=24 * 60, description="A fragment older than this is deleted, stored or not."
    )
    quota_gib: float = Field(
        50, gt=0, description="At this size the oldest go: first the stored, then the others."
    )
    keep_stored_minutes: float = Field(
        10, ge=1, description="How long a fragment stays after its clip was committed."
    )

    @field_validator("url")
    @classmethod
    def _is_place(cls, url: str) -> str:
        return check_place(url)

    @field_validator("spool")
    @classmethod
    def _is_folder(cls, url: str) -> str:
        return _folder_url(url)

    @property
    def bucket(self) -> BucketPlace | None:
        """Where fragments are kept, unless in a folder."""
        return bucket_place(self.url)

    @property
    def root(self) -> Path:
        """The folder that ingest writes to: the store itself, or its spool."""
        return file_path(self.url) if self.bucket is None else file_path(self.spool) / "frames"

    @property
    def awaited_seconds(self) -> float:
        """How long after its capture a fragment may still come: until the janitor on the host that
        has it has deleted it, and has said so."""
        return self.retention_hours * 3600 + LATE_SECONDS

    @property
    def words(self) -> Path:
        """The folder where ingest notes what is said to be stored."""
        return self.root if self.bucket is None else file_path(self.spool) / "words"

    @property
    def root_gib(self) -> float:
        """At this size of `root` the oldest go."""
        return self.quota_gib if self.bucket is None else self.spool_gib


class LiveSettings(Section):
    url: str = Field(
        "file:///var/lib/cradle/live",
        description="Where HLS is published: file:///a/folder, or s3://bucket/prefix on the "
        "archive's server, in a bucket of its own.",
    )
    spool: str = Field(
        "file:///var/lib/cradle/live-spool",
        description="With an s3:// url: folder of the encoder alone, for ffmpeg to write in.",
    )
    segment_seconds: float = Field(
        1, ge=0.5, le=10, description="Length aimed at; a segment is never shorter than the GOP."
    )
    playlist_segments: int = Field(6, ge=3, le=60, description="Segments in the live playlist.")
    video: Literal["auto", "copy", "h264"] = Field(
        "auto", description="`auto` copies H.264 and transcodes HEVC; `copy` never transcodes."
    )

    @field_validator("url")
    @classmethod
    def _is_place(cls, url: str) -> str:
        return check_place(url)

    @field_validator("spool")
    @classmethod
    def _is_folder(cls, url: str) -> str:
        return _folder_url(url)

    @property
    def bucket(self) -> BucketPlace | None:
        """Where HLS is published, unless in a folder."""
        return bucket_place(self.url)

    @property
    def root(self) -> Path:
        """The folder that the encoder writes to: what is published, or its spool."""
        return file_path(self.url if self.bucket is None else self.spool)


class ArchiveSettings(Section):
    endpoint: str = Field("http://127.0.0.1:8333", description="S3 endpoint.")
    access_key: str = Field("cradle", description="S3 access key.")
    secret_key: SecretStr = Field(SecretStr(""), description="S3 secret key.")
    bucket: str = Field(
        "cradle", pattern=rf"^{BUCKET_PATTERN}$", description="Bucket of the clips."
    )
    region: str = Field("us-east-1", description="S3 region; most own servers ignore it.")
    clip_seconds: int = Field(600, ge=5, le=900, description="Length of a clip's wall-clock slot.")
    grace_seconds: float = Field(
        10, ge=1, le=120, description="Silence after a window's end before it is closed."
    )
    retention_days: int = Field(
        60,
        ge=1,
        le=3650,
        description="Clips older than this many days are deleted; Korean childcare must keep 60.",
    )
    shorter_retention_accepted: bool = Field(
        False, description="Must be true for retention_days under 60: no law requires them here."
    )
    conversions: int = Field(2, ge=1, le=32, description="Clips converted at the same time.")
    convert_timeout_seconds: float = Field(
        300, gt=0, description="A conversion that takes longer is given up: the bytes are stored."
    )

    @field_validator("endpoint")
    @classmethod
    def _is_http(cls, endpoint: str) -> str:
        parts = split_address(endpoint)
        if parts.scheme not in {"http", "https"} or parts.path.strip("/"):
            raise ValueError("must look like http://host:port, without a path")
        if parts.username is not None:
            raise ValueError("must not name a user; that is what access_key and secret_key are for")
        return endpoint

    @model_validator(mode="after")
    def _retention_is_lawful(self) -> Self:
        if self.retention_days < LAWFUL_RETENTION_DAYS and not self.shorter_retention_accepted:
            raise ValueError(
                f"retention_days: {self.retention_days} is under {LAWFUL_RETENTION_DAYS}, which "
                "Korean childcare must keep; where no such law applies, say "
                "shorter_retention_accepted: true"
            )
        return self


class BudgetSettings(Section):
    requests_per_day: int = Field(2000, ge=0, description="Calls to a remote model per UTC day.")
    tokens_per_day: int = Field(4_000_000, ge=0, description="Tokens in and out per UTC day.")
    usd_per_day: float = Field(2.0, ge=0, description="Money per UTC day, by the prices below.")
    usd_per_million_input_tokens: float = Field(0.30, ge=0, description="Price of input tokens.")
    usd_per_million_output_tokens: float = Field(2.50, ge=0, description="Price of output tokens.")


class GeminiSettings(Section):
    sdk: Literal["google-genai", "google-generativeai"] = Field(
        "google-genai", description="Google's library; the second reached end of life in 2025-11."
    )
    model: str = Field("gemini-2.5-flash", description="Model name, without `models/`.")
    api_key_env: str = Field("GEMINI_API_KEY", description="Environment variable with the key.")
    endpoint: str | None = Field(None, description="Another address of the API; for tests.")
    timeout_seconds: float = Field(30, gt=0, le=300, description="One call at most.")
    paid_tier_confirmed: bool = Field(
        False, description="The unpaid tier's terms rule out footage of children: must be true."
    )


class AnalysisSettings(Section):
    provider: Literal["off", "local", "gemini"] = Field(
        "local", description="`local` measures with OpenCV and sends nothing anywhere."
    )
    interval_seconds: float = Field(60, ge=1, le=3600, description="One sample per this long.")
    pictures: int = Field(4, ge=1, le=12, description="Key frames per sample.")
    heartbeat_seconds: float = Field(
        600, ge=10, description="A sample is judged at least this often, changed or not."
    )
    long_edge_pixels: int = Field(768, ge=128, le=3072, description="Size of a judged picture.")
    change_threshold: float = Field(
        0.012, ge=0, le=1, description="Share of picture that must change to be worth a call."
    )
    language: Literal["ko", "en"] = Field("ko", description="Language of the notes.")
    slots: int = Field(2, ge=1, le=16, description="Samples judged at the same time by a worker.")
    budget: BudgetSettings = Field(BudgetSettings(), description="Limits of a UTC day.")
    gemini: GeminiSettings = Field(GeminiSettings(), description="The remote provider.")

    @field_validator("provider", mode="before")
    @classmethod
    def _off_is_a_word(cls, provider: object) -> object:
        return "off" if provider is False else provider  # YAML 1.1 reads a bare `off` as false


class RemoteConsent(Section):
    """Says that pictures of this room may leave the house."""

    consent_date: str = Field(description="Date of the recorded consent, YYYY-MM-DD.")

    @field_validator("consent_date", mode="before")
    @classmethod
    def _is_a_date(cls, given: object) -> str:
        text = str(given)  # YAML reads a bare date as one, not as text
        try:
            if date.fromisoformat(text).isoformat() == text:
                return text
        except ValueError:
            pass
        raise ValueError("must be a date such as 2026-03-01")


class CameraSettings(Section):
    id: CameraId = Field(description="Short name, used in keys, queues and paths.")
    name: str = Field("", max_length=80, description="What people call the room.")
    source: SecretStr = Field(description="rtsp:// http:// file:/// device:0 test:1280x720@30")
    username: str | None = Field(None, description="User for the camera.")
    password_env: str | None = Field(
        None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Variable that holds the password."
    )
    loop: bool = Field(False, description="Play a file again from its start when it ends.")
    transport: Literal["tcp", "udp"] = Field("tcp", description="RTSP transport.")
    audio: bool = Field(True, description="Record and play sound.")
    open_timeout_seconds: float = Field(10, gt=0, le=120, description="To open the camera.")
    stall_seconds: float = Field(
        5, ge=1, le=120, description="Without media the camera is stalled."
    )
    remote_analysis: RemoteConsent | None = Field(
        None, description="Without it no picture of this camera is sent to a remote provider."
    )
    privacy_masks: list[Polygon] = Field(
        [], description="Polygons (shares of width and height) blackened before analysis."
    )

    @field_validator("source")
    @classmethod
    def _source_is_known(cls, source: SecretStr) -> SecretStr:
        parse_source(source.get_secret_value())
        return source

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        has_user = self.address.has_user
        if has_user and self.username is not None:
            raise ValueError("source names a user, and username too; take one of them out")
        if self.password_env is not None and not has_user and self.username is None:
            raise ValueError("password_env is given, but no username; add username")
        return self

    @property
    def address(self) -> SourceAddress:
        """The source, taken apart; `address.shown` holds no secret."""
        return parse_source(self.source.get_secret_value())

    @property
    def title(self) -> str:
        return self.name or self.id

    def password(self) -> str | None:
        """The camera's password from the environment. Raises Misconfigured if none is there."""
        if self.password_env is None:
            return None
        value = os.environ.get(self.password_env)
        if not value:
            state = "not set" if value is None else "empty"
            raise Misconfigured(
                f"cameras.{self.id}.password_env: the environment variable {self.password_env} is "
                f"{state}; set it where Cradle is started, or take password_env out"
            )
        return value


class MetricsSettings(Section):
    host: str = Field("127.0.0.1", description="Where /metrics and /healthz listen.")
    port: int | None = Field(None, ge=0, le=65535, description="Port; by stage if not set.")

    def port_of(self, stage: Stage) -> int:
        return list(Stage).index(stage) + 9101 if self.port is None else self.port


class SeatSettings(Section):
    max_cameras: int = Field(1000, ge=1, description="A worker never takes more cameras than this.")


class LogSettings(Section):
    level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level.")
    format: Literal["json", "text"] = Field("json", description="`text` is for people.")


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_DELIMITER,
    )

    timezone: str = Field("Asia/Seoul", description="What a day is for people; storage is UTC.")
    broker: BrokerSettings = Field(BrokerSettings(), description="RabbitMQ.")
    frames: FrameSettings = Field(FrameSettings(), description="The frame store.")
    live: LiveSettings = Field(LiveSettings(), description="Live HLS.")
    archive: ArchiveSettings = Field(ArchiveSettings(), description="Clips in the object store.")
    analysis: AnalysisSettings = Field(AnalysisSettings(), description="What the pictures show.")
    viewer: ViewerSettings = Field(ViewerSettings(), description="The page that people look at.")
    metrics: MetricsSettings = Field(MetricsSettings(), description="Health and figures.")
    seats: SeatSettings = Field(SeatSettings(), description="Sharing of cameras between replicas.")
    log: LogSettings = Field(LogSettings(), description="Logs on standard output.")
    tracing: TracingSettings = Field(TracingSettings(), description="Spans for a collector.")
    cameras: list[CameraSettings] = Field([], description="The rooms.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose values come as arguments."""
        return env_settings, init_settings

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"no time zone is called {name!r}; try Asia/Seoul or UTC") from None
        return name

    @model_validator(mode="after")
    def _buckets_differ(self) -> Self:
        """What is replaced all the time must not share a bucket with what never may be."""
        live, frames = self.live.bucket, self.frames.bucket
        if live is not None:
            for other, key in ((self.archive.bucket, "archive.bucket"), (frames, "frames.url")):
                if live.bucket == (other.bucket if isinstance(other, BucketPlace) else other):
                    raise ValueError(f"live.url: needs a bucket of its own, not that of {key}")
        return self

    @model_validator(mode="after")
    def _frames_lie_apart(self) -> Self:
        frames = self.frames.bucket
        if frames is not None and frames.bucket == self.archive.bucket:
            root = frames.prefix.partition("/")[0]
            if root in {"", "analysis", "budget", "clips", "custody", "holds", "probe"}:
                raise ValueError(
                    "frames.url: needs a prefix of its own in the archive's bucket, such as"
                    f" s3://{frames.bucket}/frames"
                )
        return self

    @model_validator(mode="after")
    def _cameras_differ(self) -> Self:
        seen: set[str] = set()
        for camera in self.cameras:
            if camera.id in seen:
                raise ValueError(f"cameras: the id {camera.id} stands there twice; change one")
            seen.add(camera.id)
        return self

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    @property
    def buckets(self) -> dict[str, str]:
        """The buckets that are used, by the key that names each."""
        places = {"frames.url": self.frames.bucket, "live.url": self.live.bucket}
        named = {key: place.bucket for key, place in places.items() if place is not None}
        return {"archive.bucket": self.archive.bucket, **named}

    def camera(self, camera_id: str) -> CameraSettings | None:
        return next((camera for camera in self.cameras if camera.id == camera_id), None)


def load(path: Path) -> Settings:
    """Read and check the configuration. Raises Misconfigured with one sentence for a person."""
    return from_mapping(read_mapping(path))


def from_mapping(content: dict[str, Any]) -> Settings:
    """Check a configuration given as a mapping. Raises BadConfiguration, which lists all faults."""
    faults = unknown_names(Settings, content)
    if faults:
        raise BadConfiguration(faults)
    try:
        # A section whose lines are all commented out is empty, and YAML reads it as nothing.
        return Settings(**{key: value for key, value in content.items() if value is not None})
    except ValidationError as error:
        faults = sentences(error, Settings, content)
    except ValueError as error:  # of pydantic-settings, for a variable that is not JSON
        name = re.search(r'field "(\w+)"', str(error))
        variable = f"{ENV_PREFIX}{name[1].upper()}" if name else f"{ENV_PREFIX}..."
        faults = [f"environment {variable}: whole sections and lists must be JSON"]
    raise BadConfiguration(faults)


def _folder_url(url: str) -> str:
    try:
        file_path(url)
    except ValueError:
        raise ValueError("must look like file:///a/folder") from None
    return url
