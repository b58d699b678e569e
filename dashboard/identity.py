"""Who looks at the page that is running: the one seam between Streamlit's cookies and everything else.

Pages ask `person()`; the client of the backend asks `token()` for each of its calls. Tests fill `cookie`.
"""

from __future__ import annotations

import streamlit as st

from dashboard import parts
from dashboard.sessions import COOKIE, Person


class SignedOut(Exception):
    """The session is over: idle, too old, signed out elsewhere, or the person was disabled."""


def cookie() -> str | None:
    """The session cookie as the browser sent it when this page's connection was opened."""
    return st.context.cookies.get(COOKIE)


def person() -> Person:
    """Whoever is signed in on this page.

    Raises:
        SignedOut: nobody is, any more.
    """
    now = parts.current().now()
    found = parts.current().sessions.read(cookie(), now)
    if found is None:
        raise SignedOut
    return found


def touch() -> Person:
    """Like `person`; and the person did something, so the idle time starts again. Not for what a page does by itself."""
    found = person()
    return parts.current().sessions.touch(found, parts.current().now())


def token(audience: str) -> str:
    """A token of five minutes at most for one API, as the person on this page."""
    return parts.current().signer.mint(person(), audience, parts.current().now())
