"""The people who may sign in: one JSON file (mode 600), argon2 hashes, read again when it changes.

    {"users": [{"name": "anna", "password": "$argon2id$…", "roles": ["reviewer"], "disabled": false,
                "valid_after": "2026-01-01T00:00:00Z", "ended": {"<sid>": 1767225600.0}}]}

`valid_after`: sessions that began before it are over. `ended`: sessions signed out, until they would have run out anyway.
Writers hold a lock on a file beside it and replace it in one step, so a reader never sees half of one.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import argon2
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from dashboard.roles import Role

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}[a-z0-9]|[a-z0-9]")
MIN_PASSWORD = 10
MIN_DIFFERENT = 5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class UsersError(Exception):
    """What a person at the command line did that cannot be done; the message says what to do instead."""


class User(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    password: str = Field(repr=False, description="argon2id hash")
    roles: tuple[Role, ...]
    disabled: bool = False
    valid_after: AwareDatetime = EPOCH
    ended: dict[str, float] = {}

    @property
    def id(self) -> str:
        return f"usr_{self.name}"


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    users: list[User] = []


class Users:
    """Safe to use from several threads and processes."""

    def __init__(self, path: Path, hasher: argon2.PasswordHasher | None = None) -> None:
        self._path = path
        self._hasher = hasher or argon2.PasswordHasher()
        self._lock = threading.Lock()
        self._seen: tuple[int, int, int] | None = None
        self._users: dict[str, User] = {}
        self._decoy: str | None = None

    def get(self, name: str) -> User | None:
        return self._read().get(name)

    def all(self) -> list[User]:
        return sorted(self._read().values(), key=lambda user: user.name)

    def authenticate(self, name: str, password: str) -> User | None:
        """The person, or None. An unknown name takes as long as a wrong password."""
        user, decoy = self.get(name), self._any_hash()
        known = user is not None and not user.disabled
        try:
            self._hasher.verify(user.password if user and known else decoy, password)
        except argon2.exceptions.VerificationError:
            return None
        return user if known else None

    def add(self, name: str, password: str, roles: Sequence[Role]) -> User:
        if not NAME.fullmatch(name):
            raise UsersError(
                "a name has 1 to 64 lower-case letters, digits, dots, dashes or underscores, and starts with a letter or digit"
            )
        if not roles:
            raise UsersError("give at least one role")
        user = User(name=name, password=self._hash(name, password), roles=tuple(dict.fromkeys(roles)))

        def insert(users: dict[str, User]) -> None:
            if name in users:
                raise UsersError(f"{name} is there already: use `passwd` for a new password")
            users[name] = user

        self._change(insert)
        return user

    def set_password(self, name: str, password: str, now: datetime) -> User:
        """A new password; every session that began before `now` is over."""
        return self._update(name, password=self._hash(name, password), valid_after=now)

    def set_roles(self, name: str, roles: Sequence[Role], *, keep_an_admin: bool = False) -> User:
        """These and no others, in sessions that are open too: a token carries the roles of the moment it is signed.

        `keep_an_admin`: refuse what would leave nobody who may sign in as one. The command line may always do it.
        """
        if not roles:
            raise UsersError("give at least one role")
        return self._update(name, keep_an_admin, roles=tuple(dict.fromkeys(roles)))

    def set_disabled(self, name: str, disabled: bool, now: datetime, *, keep_an_admin: bool = False) -> User:
        return self._update(name, keep_an_admin, disabled=disabled, valid_after=now)

    def end_session(self, name: str, sid: str, *, now: float, until: float) -> None:
        """Remember that a session was signed out, as long as its cookie could still be shown."""
        user = self.get(name)
        if user is not None:
            still = {old: end for old, end in user.ended.items() if end > now}
            self._update(name, ended={**still, sid: until})

    # --- the file -------------------------------------------------------------------------------------------------

    def _read(self) -> dict[str, User]:
        with self._lock:
            try:
                state = self._path.stat()
            except FileNotFoundError:
                self._seen, self._users = None, {}
                return self._users
            seen = (state.st_ino, state.st_mtime_ns, state.st_size)
            if seen != self._seen:
                found = _File.model_validate_json(self._path.read_bytes())
                self._users = {user.name: user for user in found.users}
                self._seen = seen
            return self._users

    def _update(self, name: str, keep_an_admin: bool = False, **changes: object) -> User:
        def replace(users: dict[str, User]) -> None:
            if name not in users:
                raise UsersError(f"nobody is called {name}")
            users[name] = users[name].model_copy(update=changes)
            # decided under the lock of the file: two administrators at once cannot shut out each other
            if keep_an_admin and not any(Role.admin in user.roles and not user.disabled for user in users.values()):
                raise UsersError(f"{name} is the last administrator who may sign in: make another one first")

        return self._change(replace)[name]

    def _change(self, change: Callable[[dict[str, User]], None]) -> dict[str, User]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            users = dict(self._read())
            change(users)
            text = _File(users=list(users.values())).model_dump_json(indent=2) + "\n"
            fresh = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as out:
                out.write(text)
                out.flush()
                os.fsync(out.fileno())
            fresh.replace(self._path)
        return users

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        descriptor = os.open(self._path.with_name(f".{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    # --- passwords ------------------------------------------------------------------------------------------------

    def _hash(self, name: str, password: str) -> str:
        if len(password) < MIN_PASSWORD:
            raise UsersError(f"a password has at least {MIN_PASSWORD} characters")
        if len(set(password)) < MIN_DIFFERENT or len(password.lower().replace(name, "")) < MIN_DIFFERENT:
            raise UsersError(f"a password has at least {MIN_DIFFERENT} different characters, and as many beside the name")
        return self._hasher.hash(password)

    def _any_hash(self) -> str:
        if self._decoy is None:
            self._decoy = self._hasher.hash(secrets.token_hex(16))
        return self._decoy
