"""Settings of the backend: flag over environment over ``*_FILE`` secret over ``.env`` over default.

Every setting is ``BACKEND_`` and the field's name in capitals; each may also be given as a file
(``BACKEND_DATABASE_URL_FILE=/run/secrets/url``). A name that no field has is refused, so that a typing
error cannot leave a default in force. `.env.example` shows every setting; a test keeps it true.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from backend import review_codes
from backend.events import EventType
from backend.faces import gate
from backend.review_policy import SecondReview
from backend.webhook import keys_of
from backend.wire import Verdict

PREFIX = "BACKEND_"


class Settings(BaseSettings):
    """One frozen object, made once in `app.py` or by a command."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on; without keys or signers only loopback is allowed.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    instance: str = Field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}",
        description="Name of this replica: X-Served-By, metrics, leases. Default: host name and process id.",
    )
    tls_cert_file: Path | None = Field(None, description="PEM chain for TLS; read again when it changes.")
    tls_key_file: Path | None = Field(None, description="PEM key for TLS.")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        ("127.0.0.1", "::1"), description="Addresses whose X-Forwarded-For is believed, comma-separated."
    )

    database_url: SecretStr = Field(SecretStr("sqlite:///face-auth.db"), description="SQLAlchemy URL of the ledger.")
    master_key_file: Path = Field(
        Path("face-auth.key"), description="Key that wraps every subject's data key. Lost key = lost data. `migrate` makes it."
    )
    signers_file: Path | None = Field(None, description="JWKS with the public keys of the dashboards whose people are trusted.")
    store_images: bool = Field(True, description="Keep encrypted face crops; off = no pictures for reviewers, no re-embedding.")

    engine: Literal["offline", "insightface"] = Field("offline", description="Face engine.")
    model_pack: Path | None = Field(None, description="Folder of an installed insightface pack (engine insightface only).")
    next_engine: Literal["offline", "insightface"] | None = Field(
        None,
        description="Engine of a second model, for `re-embed`; default: insightface where next_model_pack is set.",
    )
    next_model_pack: Path | None = Field(None, description="Pack of the second model: which one judges is the database's to say.")
    models_dir: Path = Field(Path("models"), description="Where `python -m backend models install` puts packs.")
    inference_workers: int = Field(
        0,
        ge=0,
        description="Images in inference at once; 0 = the cores this process may use. Replicas on one machine share them out.",
    )
    inference_queue: int = Field(16, ge=0, description="Images that may wait; beyond that the answer is 503 with Retry-After.")
    key_rate_per_minute: int = Field(
        0, ge=0, le=100_000, description="Requests per minute heard from an API key that has no limit of its own; 0 = any number."
    )
    request_deadline_s: float = Field(30.0, gt=0, description="Seconds after which a request is answered 503, whatever waits.")
    max_image_bytes: int = Field(10 * 1024 * 1024, gt=0, description="Largest image, in bytes as sent.")
    max_image_pixels: int = Field(40_000_000, gt=0, description="Largest image, in pixels, checked before decoding.")
    max_images: int = Field(10, ge=1, description="Most images in one enrolment.")
    max_batch: int = Field(32, ge=1, description="Most subjects in one batch of enrolments.")
    min_face_px: int = Field(26, ge=8, description="Smallest face that is enrolled, in pixels of the box's shorter side.")
    min_quality: Annotated[dict[str, int], NoDecode] = Field(
        {},
        description='Least quality to enrol, 0 to 100: of the weakest component, or JSON: {"overall": 30, "Sharpness": 60}.',
    )

    liveness_model: Path | None = Field(
        None, description="File of InsightFace's liveness add-on: its signal joins what is said of a probe. Default: none."
    )
    liveness_threshold: float = Field(0.8, ge=0, le=1, description="Score from which a face is called live; it decides nothing.")

    verification_threshold: float | None = Field(
        None, description="Score from which verification says match; default: the engine's."
    )
    review_threshold: float | None = Field(None, description="Score from which two subjects go to review; default: the engine's.")
    certain_threshold: float | None = Field(
        None, description="Score from which on_duplicate=reject rejects; default: the engine's."
    )
    target_fpir: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Chance of a false flag at an enrolment; review_threshold follows from it and the gallery. Default: none.",
    )
    calibration_file: Path | None = Field(
        None, description="What `python -m backend calibrate` wrote, for the engine in use; default: the engine's own curve."
    )
    next_verification_threshold: float | None = Field(
        None, description="As verification_threshold, for the second model; default: its engine's."
    )
    next_review_threshold: float | None = Field(
        None, description="As review_threshold, for the second model; default: its engine's."
    )
    next_certain_threshold: float | None = Field(
        None, description="As certain_threshold, for the second model; default: its engine's."
    )
    next_calibration_file: Path | None = Field(
        None, description="As calibration_file, for the second model; default: its engine's own curve."
    )
    enrolment_lease_s: float = Field(20.0, gt=0, description="Seconds before a sweep finishes somebody else's enrolment.")
    case_lease_s: float = Field(180.0, gt=0, description="Seconds a reviewer's claim lasts without heartbeat.")
    second_review: SecondReview = Field(
        SecondReview.none, description="The band whose cases two people must judge alike, blind: none, certain, review, all."
    )
    review_verdicts: Annotated[tuple[Verdict, ...], NoDecode] = Field(
        tuple(Verdict), description="Verdicts that reviewers are offered, comma-separated; same and different among them."
    )
    review_reasons: Annotated[dict[Verdict, tuple[str, ...]], NoDecode] = Field(
        {}, description='The site\'s own reasons by verdict, as JSON: {"different": ["different_ears"]}; 1 to 40 of a-z, 0-9, _.'
    )
    review_note_required: Annotated[tuple[Verdict, ...], NoDecode] = Field(
        (), description="Verdicts that need a note or a reason, comma-separated."
    )
    review_due_certain_hours: float = Field(
        24.0, gt=0, le=8760, description="Hours after which a case of the certain band is overdue."
    )
    review_due_review_hours: float = Field(
        72.0, gt=0, le=8760, description="Hours after which a case of the review band is overdue."
    )
    gallery_poll_s: float = Field(0.5, gt=0, le=1, description="How often the gallery follows the log.")
    gallery_max_lag_s: float = Field(10.0, gt=0, description="Lag beyond which /ready fails.")

    gallery_memory_bytes: int = Field(
        0, ge=0, description="Most memory for the gallery's index, in bytes; 0 = 35 % of the machine's or container's."
    )
    snapshot_dir: Path | None = Field(
        None, description="Folder for encrypted snapshots of the index, for a quick start; default: none. Needs BACKEND_INSTANCE."
    )
    snapshot_every_s: float = Field(
        600.0, gt=0, le=900, description="Seconds after which a snapshot is renewed, where the gallery changed."
    )

    retention_subject_days: int | None = Field(
        None,
        ge=1,
        le=36500,
        description="Days after which a subject without retain_until is erased; default: never.",
    )
    retention_rejected_days: int = Field(
        30, ge=1, le=36500, description="Days after which what is left of a rejected enrolment (ids, its pairs) is deleted."
    )

    webhook_url: SecretStr | None = Field(
        None, description="Where events are posted: https, or http on this machine; the same for every replica. Default: nowhere."
    )
    webhook_secret: SecretStr | None = Field(
        None,
        description="Signs events: whsec_ and base64 of 24 to 64 random bytes; two, with a space between, during a change.",
    )
    webhook_ca_file: Path | None = Field(None, description="CA that is trusted for the webhook beside the system's roots.")
    webhook_events: Annotated[tuple[EventType, ...], NoDecode] = Field(
        tuple(EventType), description="Which events are told, comma-separated."
    )

    log_dir: Path | None = Field(None, description="Folder for access.log and app.log; default: standard error only.")
    log_format: Literal["plain", "json"] = Field("plain", description="Form of a log line.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least severe line that is logged.")
    drain_s: float = Field(3.0, ge=0, description="Seconds between SIGTERM (/ready turns 503) and closing the listener.")
    graceful_timeout_s: float = Field(20.0, gt=0, description="Seconds for requests in flight after that.")
    min_disk_bytes: int = Field(
        200 * 1024 * 1024, ge=0, description="Free disk below which /ready fails; warns below five times it."
    )
    min_memory_bytes: int = Field(
        64 * 1024 * 1024, ge=0, description="Available memory below which /ready fails; warns below five times it."
    )

    @field_validator("trusted_proxies", "webhook_events", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("review_verdicts", "review_note_required", mode="before")
    @classmethod
    def _verdicts(cls, value: object) -> object:
        return review_codes.verdicts_in(value) if isinstance(value, str) else value

    @field_validator("review_reasons", mode="before")
    @classmethod
    def _reasons(cls, value: object) -> object:
        return review_codes.reasons_in(value) if isinstance(value, str) else value

    @field_validator("min_quality", mode="before")
    @classmethod
    def _least(cls, value: object) -> object:
        return gate.least_in(value) if isinstance(value, str) else value

    @field_validator("min_quality")
    @classmethod
    def _is_least(cls, value: dict[str, int]) -> dict[str, int]:
        gate.check_least(value)
        return value

    @field_validator("webhook_url")
    @classmethod
    def _is_private(cls, value: SecretStr | None) -> SecretStr | None:
        """What is sent is signed, not encrypted: TLS does that, but for a receiver on this machine."""
        parts = urlsplit(value.get_secret_value() if value else "https://none")
        try:
            _ = parts.port
        except ValueError:
            raise ValueError("its port is a number from 0 to 65535") from None  # urlsplit's own sentence quotes the URL
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and _is_this_machine(parts.hostname))):
            raise ValueError("it begins with https:// and a host; http:// is allowed for 127.0.0.1, ::1 and localhost alone")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _is_a_secret(cls, value: SecretStr | None) -> SecretStr | None:
        keys_of(value.get_secret_value()) if value else None
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> Settings:
        if (self.tls_cert_file is None) != (self.tls_key_file is None):
            raise ValueError(f"{PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE are given together or not at all")
        if self.engine == "insightface" and self.model_pack is None:
            raise ValueError(f"{PREFIX}ENGINE=insightface needs {PREFIX}MODEL_PACK, the folder of an installed pack")
        if self.next_engine == "insightface" and self.next_model_pack is None:
            raise ValueError(f"{PREFIX}NEXT_ENGINE=insightface needs {PREFIX}NEXT_MODEL_PACK, the folder of an installed pack")
        if self.snapshot_dir is not None and "instance" not in self.model_fields_set:
            raise ValueError(
                f"{PREFIX}SNAPSHOT_DIR needs {PREFIX}INSTANCE, a name that outlives the process: by it a snapshot is found"
            )
        if self.target_fpir is not None and self.review_threshold is not None:
            raise ValueError(
                f"{PREFIX}TARGET_FPIR and {PREFIX}REVIEW_THRESHOLD both say from which score on is flagged: give one"
            )
        if self.target_fpir is not None and self.next_review_threshold is not None:
            raise ValueError(
                f"{PREFIX}TARGET_FPIR gives the second model its threshold too: leave {PREFIX}NEXT_REVIEW_THRESHOLD out"
            )
        review_codes.fit_together(self.review_verdicts, self.review_reasons, self.review_note_required)
        if self.webhook_url is not None and self.webhook_secret is None:
            raise ValueError(f"{PREFIX}WEBHOOK_URL needs {PREFIX}WEBHOOK_SECRET: without a signature anybody could send the like")
        return self

    def next_model(self) -> Settings | None:
        """These settings with the second model in the place of the first; None where there is no second one."""
        if self.next_engine is None and self.next_model_pack is None:
            return None
        return self.model_copy(
            update={
                "engine": self.next_engine or "insightface",
                "model_pack": self.next_model_pack,
                "verification_threshold": self.next_verification_threshold,
                "review_threshold": self.next_review_threshold,
                "certain_threshold": self.next_certain_threshold,
                "calibration_file": self.next_calibration_file,
            }
        )

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


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class SettingsError(ValueError):
    """The settings cannot be used; `sentences` says why, one each. No value of a setting is repeated: it may be a secret."""

    def __init__(self, sentences: Sequence[str]) -> None:
        super().__init__("; ".join(sentences))
        self.sentences = list(sentences)


class UnknownSetting(SettingsError):
    """A variable, in the environment or in `.env`, carries our prefix and no field's name."""


class _SecretFiles(PydanticBaseSettingsSource):
    """``PREFIX_FIELD_FILE=path``: the value is the file's content, less the newline at its end."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        name = f"{PREFIX}{field_name.upper()}_FILE"
        if name in _names_of_settings():
            return None, field_name, False  # a setting of its own, such as tls_key_file beside a future tls_key
        path = os.environ.get(name) or _dotenv().get(name)
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text("utf-8").rstrip("\n"), field_name, False
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError([f"{name} names a file that cannot be read ({type(error).__name__})"]) from error

    def __call__(self) -> dict[str, Any]:
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def _names_of_settings() -> set[str]:
    return {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}


def _dotenv() -> dict[str, str | None]:
    file = Path(str(Settings.model_config["env_file"]))
    return dotenv_values(file) if file.is_file() else {}


def refuse_unknown(environment: Mapping[str, object]) -> None:
    """Raise `UnknownSetting` for a variable with our prefix that no setting has."""
    names = _names_of_settings()
    known = names | {f"{name}_FILE" for name in names}
    unknown = sorted(name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in known)
    if unknown:
        raise UnknownSetting([f"{name} is not a setting: see .env.example for the names" for name in unknown])


def load(**flags: Any) -> Settings:
    """Settings of this process; `flags` are what the command line gave (None = not given).

    Raises:
        UnknownSetting: a variable with our prefix that no setting has.
        SettingsError: a value that does not fit, or two that do not fit each other.
    """
    refuse_unknown(os.environ)
    refuse_unknown(_dotenv())
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        raise SettingsError([_sentence(found) for found in error.errors(include_input=False, include_url=False)]) from None


def _sentence(found: ErrorDetails) -> str:
    message = found["msg"].removeprefix("Value error, ")
    if not found["loc"]:
        return message
    return f"{PREFIX}{str(found['loc'][0]).upper()}: {message[0].lower()}{message[1:]}"
