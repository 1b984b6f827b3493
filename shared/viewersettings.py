"""The section `viewer` of the configuration: where the page listens, and who may look."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, StringConstraints, field_validator, model_validator

from shared.section import Section
from shared.source import file_path, split_address

Role = Literal["viewer", "operator"]
UserName = Annotated[
    str, StringConstraints(pattern=r"^[^\s\x00-\x1f\x7f-\x9f:/\\]{1,40}$", strip_whitespace=True)
]


class UserSettings(Section):
    """One person who may look."""

    name: UserName = Field(description="What they type to log in.")
    role: Role = Field(description="`operator`s may also hold, download and see the system.")
    password_hash: SecretStr = Field(description="Argon2 hash; `cradle user add` makes it.")

    @field_validator("password_hash")
    @classmethod
    def _is_argon2(cls, value: SecretStr) -> SecretStr:
        if not value.get_secret_value().startswith("$argon2id$"):
            raise ValueError("must be an argon2id hash; `cradle user add` makes one")
        return value


class LinkSettings(Section):
    """Other pages that the system view points to."""

    broker: str | None = Field(None, description="Address of the broker's dashboard.")
    grafana: str | None = Field(None, description="Address of Grafana.")
    bucket: str | None = Field(None, description="Address of a browser for the object store.")

    @field_validator("broker", "grafana", "bucket")
    @classmethod
    def _is_http(cls, address: str | None) -> str | None:
        if address is not None and split_address(address).scheme not in {"http", "https"}:
            raise ValueError("must look like https://host/path")
        return address


class ViewerSettings(Section):
    """The page."""

    host: str = Field("127.0.0.1", description="Where the page listens.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the page; 0 takes a free one.")
    url: str = Field(
        "file:///var/lib/cradle/viewer",
        description="Folder for the index (can be rebuilt), sessions, and users made by command.",
    )
    users: list[UserSettings] = Field([], description="Who may look, beside those in the folder.")
    secret: SecretStr | None = Field(
        None,
        min_length=32,
        description="Signs sessions; the same for all replicas. None: they end with the process.",
    )
    setup_token: SecretStr | None = Field(
        None, min_length=16, description="Opens the set-up page, once, while there is no user."
    )
    session_hours: float = Field(12, gt=0, le=24 * 30, description="A login lasts so long.")
    certificate: Path | None = Field(None, description="TLS certificate (PEM), with its chain.")
    certificate_key: Path | None = Field(None, description="Its private key (PEM).")
    trusted_proxies: list[str] = Field(
        [], description="Addresses whose X-Forwarded-For and X-Forwarded-Proto are believed."
    )
    links: LinkSettings = Field(LinkSettings(), description="Other pages to point to.")

    @field_validator("url")
    @classmethod
    def _is_folder(cls, url: str) -> str:
        file_path(url)
        return url

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.certificate is None) != (self.certificate_key is None):
            raise ValueError("certificate and certificate_key go together; give both or none")
        names = [user.name for user in self.users]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"users: the name {name} stands there twice; change one")
        return self

    @property
    def root(self) -> Path:
        """The folder of `url`."""
        return file_path(self.url)
