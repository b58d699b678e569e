"""Settings of the dashboard: flag over environment over ``*_FILE`` secret over ``.env`` over default.

Every setting is ``DASHBOARD_`` and the field's name in capitals; each may also be given as a file
(``DASHBOARD_COOKIE_SECRET_FILE=/run/secrets/cookie``). A name that no field has is refused, so that a typing
error cannot leave a default in force.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "DASHBOARD_"


class Settings(BaseSettings):
    """One frozen object, made once by a command."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8501, ge=1, le=65535, description="Port to listen on.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Host names under which browsers may reach the dashboard, comma-separated; empty = any."
    )
    tls_cert_file: Path | None = Field(None, description="PEM chain for TLS; without it a proxy in front speaks TLS.")
    tls_key_file: Path | None = Field(None, description="PEM key for TLS.")

    backend_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        ("http://127.0.0.1:8000",), description="The balancer, or every backend for fail-over, comma-separated."
    )
    monitor_url: str = Field("http://127.0.0.1:8600", description="The monitor's API.")
    prometheus_url: str | None = Field(
        None, description="A Prometheus that scrapes the backends (job face-auth-backend), for burn rates; empty = none."
    )
    ca_file: Path | None = Field(None, description="CA that is trusted beside the system's roots.")
    key: SecretStr | None = Field(None, description="The dashboard's own viewer key: fleet data only.")
    backend_timeout_s: float = Field(30.0, gt=0, description="Seconds that one call of the backend may take.")
    monitor_timeout_s: float = Field(3.0, gt=0, description="Seconds that one call of the monitor may take.")

    users_file: Path = Field(Path("dashboard-users.json"), description="The people who may sign in (`users add` makes it).")
    signing_key_file: Path = Field(
        Path("dashboard-signing.pem"), description="Ed25519 key that signs people's tokens (`keys init` makes it)."
    )
    cookie_secret: SecretStr | None = Field(
        None, description="Signs the session cookie; without it a restart ends every session."
    )
    session_idle_minutes: float = Field(30, gt=0, description="Minutes without action after which a session ends.")
    session_max_hours: float = Field(12, gt=0, description="Hours after which a session ends in any case.")
    refresh_s: float = Field(1.0, ge=0.5, description="Seconds between refreshes of the live parts of a page.")
    max_upload_mb: int = Field(10, ge=1, description="Largest image that a person may upload, in MiB.")

    @field_validator("backend_urls", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("prometheus_url")
    @classmethod
    def _is_web(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "")
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query):
            raise ValueError("give an http:// or https:// URL without a credential and without a query")
        return url or None

    @field_validator("backend_urls")
    @classmethod
    def _at_least_one(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        if not urls:
            raise ValueError("give at least one URL of a backend or of the balancer")
        return urls

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SecretFiles(settings_cls), dotenv_settings


class UnknownSetting(ValueError):
    """An environment variable carries our prefix and no field's name."""


class _SecretFiles(PydanticBaseSettingsSource):
    """``PREFIX_FIELD_FILE=path``: the value is the file's content, less the newline at its end."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{PREFIX}{field_name.upper()}_FILE")
        return (Path(path).read_text("utf-8").rstrip("\n") if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def refuse_unknown(environment: Mapping[str, str]) -> None:
    """Raise `UnknownSetting` for a variable with our prefix that no setting has."""
    names = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    known = names | {f"{name}_FILE" for name in names}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise UnknownSetting(f"unknown setting {', '.join(unknown)}: see .env.example for the names")


def load(**flags: Any) -> Settings:
    """Settings of this process; `flags` are what the command line gave (None = not given).

    Raises:
        UnknownSetting: a variable with our prefix that no setting has.
        pydantic.ValidationError: a value that does not fit.
    """
    refuse_unknown(os.environ)
    return Settings(**{name: value for name, value in flags.items() if value is not None})
