"""Browsers from which a person has signed in before: a signed cookie that lets nobody in, and only counts failures apart."""

from __future__ import annotations

import secrets

import itsdangerous

COOKIE = "face_auth_browser"
GOOD_FOR_S = 180 * 86_400


class Browsers:
    def __init__(self, secret: str) -> None:
        self._seal = itsdangerous.URLSafeTimedSerializer(secret, salt="face-auth-dashboard-browser")

    def cookie(self, name: str) -> str:
        """For a browser from which `name` signed in."""
        sealed = self._seal.dumps({"n": name, "b": secrets.token_urlsafe(12)})
        return sealed if isinstance(sealed, str) else sealed.decode("ascii")

    def known(self, cookie: str | None, name: str) -> str | None:
        """The browser's id, where it is one of `name`'s; None for every other cookie."""
        if not cookie:
            return None
        try:
            held = self._seal.loads(cookie, max_age=GOOD_FOR_S)
            return str(held["b"]) if held["n"] == name else None
        except (itsdangerous.BadData, KeyError, TypeError):
            return None
