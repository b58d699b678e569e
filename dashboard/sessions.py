"""Sessions of people: a signed cookie, checked against the users file each time.

The cookie holds name, session id, when it was issued and when the person last did something. A page that is open cannot
set cookies (it speaks over a websocket), so this process also remembers when each session was last used.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace

import itsdangerous

from dashboard.roles import Role
from dashboard.users import User, Users

COOKIE = "face_auth_session"
REMEMBERED = 10_000


@dataclass(frozen=True)
class Person:
    """Whoever is signed in. `session` began at `issued` and was last used at `seen` (seconds since the epoch)."""

    name: str
    roles: frozenset[Role]
    session: str
    issued: float
    seen: float

    @property
    def id(self) -> str:
        return f"usr_{self.name}"


class Sessions:
    """Gives out, reads and ends sessions; safe to use from several threads."""

    def __init__(self, users: Users, secret: str, *, idle_s: float, max_s: float) -> None:
        self._users = users
        self._seal = itsdangerous.URLSafeSerializer(secret, salt="face-auth-dashboard-session")
        self._idle_s = idle_s
        self._max_s = max_s
        self._lock = threading.Lock()
        self._used: OrderedDict[str, float] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()

    def begin(self, user: User, now: float) -> Person:
        return Person(user.name, frozenset(user.roles), secrets.token_urlsafe(16), issued=now, seen=now)

    def cookie(self, person: Person) -> str:
        sealed = self._seal.dumps({"n": person.name, "s": person.session, "i": person.issued, "u": person.seen})
        return sealed if isinstance(sealed, str) else sealed.decode("ascii")

    def max_age_s(self, person: Person, now: float) -> int:
        """How long a browser should keep the cookie."""
        return max(1, int(person.issued + self._max_s - now))

    def read(self, cookie: str | None, now: float) -> Person | None:
        """Who shows this cookie; None when it is forged, idle too long, too old, signed out, or the person may not."""
        person = self._unsealed(cookie)
        if person is None:
            return None
        person = replace(person, seen=max(person.seen, self._used.get(person.session, 0.0)))
        if now >= person.seen + self._idle_s or now >= person.issued + self._max_s or person.session in self._ended:
            return None
        user = self._users.get(person.name)
        if user is None or user.disabled or person.issued < user.valid_after.timestamp() or person.session in user.ended:
            return None
        return replace(person, roles=frozenset(user.roles))

    def touch(self, person: Person, now: float) -> Person:
        """The person did something: the idle time starts again."""
        with self._lock:
            self._used[person.session] = max(now, self._used.get(person.session, 0.0))
            _keep_youngest(self._used, person.session)
        return replace(person, seen=max(now, person.seen))

    def end(self, person: Person, now: float) -> None:
        """Sign out: here at once, and in the users file, so that it holds after a restart and for other dashboards.

        Raises:
            OSError: the users file cannot be written; the session is over in this process all the same.
        """
        with self._lock:
            self._ended[person.session] = now
            _keep_youngest(self._ended, person.session)
        self._users.end_session(person.name, person.session, now=now, until=person.issued + self._max_s)

    def _unsealed(self, cookie: str | None) -> Person | None:
        if not cookie:
            return None
        try:
            held = self._seal.loads(cookie)
            return Person(str(held["n"]), frozenset(), str(held["s"]), issued=float(held["i"]), seen=float(held["u"]))
        except (itsdangerous.BadData, KeyError, TypeError, ValueError):
            return None


def _keep_youngest(times: OrderedDict[str, float], newest: str) -> None:
    times.move_to_end(newest)
    while len(times) > REMEMBERED:
        times.popitem(last=False)
