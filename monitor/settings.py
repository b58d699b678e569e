"""Settings of the monitor: flag over environment over ``*_FILE`` secret over ``.env`` over default.

Every setting is ``MONITOR_`` and the field's name in capitals; each may also be given as a file
(``MONITOR_DATABASE_URL_FILE=/run/secrets/url``). A name that no field has is refused, so that a typing error cannot
leave a default in force.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "MONITOR_"


class Settings(BaseSettings):
    """One frozen object, made once in `__main__`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; without keys or signers only loopback is allowed.")
    port: int = Field(8600, ge=1, le=65535, description="Port to listen on.")
    database_url: SecretStr = Field(SecretStr("sqlite:///monitor.db"), description="SQLAlchemy URL of the monitor's own history.")
    signers_file: Path | None = Field(None, description="JWKS with the public keys of the dashboards whose people are trusted.")
    keys_file: Path | None = Field(None, description="JSON list of API keys: id, name, sha256 of the secret, scopes.")
    log_dir: Path | None = Field(None, description="Folder for monitor.log; default: standard error only.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe line that is logged.")
    tick_s: float = Field(0.5, gt=0, le=5, description="How often the schedule looks for what is due.")
    scrape_s: float = Field(4.0, gt=0, description="How often a backend's /metrics are read; a probe's round carries it.")
    probes_at_once: int = Field(100, ge=1, le=10_000, description="How many backends are probed at the same time, at most.")
    drain_s: float = Field(5.0, gt=0, description="How long a stop waits for the probes in flight.")

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
        raise UnknownSetting(f"unknown setting {', '.join(unknown)}; known are {', '.join(sorted(names))}")


def load(**flags: Any) -> Settings:
    """Settings of this process; `flags` are what the command line gave (None = not given).

    Raises:
        UnknownSetting: a variable with our prefix that no setting has.
        pydantic.ValidationError: a value that does not fit.
    """
    refuse_unknown(os.environ)
    return Settings(**{name: value for name, value in flags.items() if value is not None})
