"""Who asks: an API key, a signed-in person, or the program itself. Audit rows name it by id."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Caller:
    """`roles` are a person's roles or a key's scopes; `sid` and `kid` are the session and signing key of a person's token.

    `rate_per_minute` and `synthetic` are a key's: see `tables.ApiKey`.
    """

    id: str
    name: str
    kind: Literal["key", "person", "system"]
    roles: frozenset[str] = field(default_factory=frozenset)
    sid: str | None = None
    kid: str | None = None
    rate_per_minute: int | None = None
    synthetic: bool = False

    @property
    def supervises(self) -> bool:
        return not self.roles.isdisjoint({"supervisor", "admin"})


SYSTEM = Caller(id="system", name="system", kind="system")
"""The program itself: sweeps, retention, commands of the host's operator."""
