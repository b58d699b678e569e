"""What every page has: its heading, its three states, the reader's time zone, who is signed in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, tzinfo
from functools import cache, wraps
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import streamlit as st

from dashboard import identity, parts, phrases
from dashboard.components.markup import text
from dashboard.fetch.seen import Seen
from dashboard.sessions import Person
from dashboard.sign_in import SIGN_IN, SIGN_OUT

Value = TypeVar("Value")


def heading(title: str, about: str = "") -> None:
    st.title(title, anchor=False)
    if about:
        st.caption(about)


def shown(seen: Seen[Value], what: str) -> Value | None:
    """The value to draw, after saying what is wrong with it; None: there is nothing to draw, and it was said."""
    if seen.failure is None:
        return seen.value
    said = f"{seen.kind}. {phrases.plain(seen.failure)}"
    away = seen.kind == "Unreachable"
    icon = ":material/cloud_off:" if away else ":material/block:"
    if seen.value is None:
        # whoever was answered knows all there is; whoever was not might hope for something older
        st.error(f"{said} There is no earlier {what} to show." if away else said, icon=icon)
        return None
    age = phrases.ago(parts.current().now() - (seen.at or 0.0))
    st.warning(f"{said} Below is the last {what}, from {age}.", icon=icon)
    return seen.value


def empty(sentence: str) -> None:
    st.info(sentence, icon=":material/inbox:")


def signed_out() -> None:
    """What a page shows when the session ended while it was open."""
    st.warning("Your session has ended. Nothing that you had not finished was saved.", icon=":material/lock:")
    st.link_button("Sign in again", SIGN_IN, type="primary")


def still_signed_in() -> bool:
    """For parts of a page that run by themselves; says so where the session is over."""
    try:
        identity.person()
    except identity.SignedOut:
        signed_out()
        return False
    return True


def live(draw: Callable[..., None]) -> Callable[..., None]:
    """For parts of a page that run by themselves: where the session ends, even while the part is drawn, it says so."""

    @wraps(draw)  # Streamlit knows a fragment by its name
    def run(*arguments: object) -> None:
        try:
            identity.person()
            draw(*arguments)
        except identity.SignedOut:
            signed_out()

    return run


def acting(act: Callable[..., None]) -> Callable[..., None]:
    """For buttons: a callback runs before the page finds out that the session is over. Then it does nothing; the page says so."""

    def run(*arguments: object) -> None:
        with suppress(identity.SignedOut):
            act(*arguments)

    return run


def who(person: Person) -> None:
    """At the foot of the side bar: who is signed in, and the way out (a form: it works without a script)."""
    roles = ", ".join(sorted(person.roles))
    with st.sidebar:
        st.html(
            f'<p class="who">Signed in as <strong>{text(person.name)}</strong> ({text(roles)})</p>'
            f'<form class="sign-out" method="post" action="{SIGN_OUT}"><button type="submit">Sign out</button></form>'
        )


def styles() -> None:
    st.html(f"<style>{_css()}</style>")


def zone() -> tzinfo:
    """The reader's time zone, as the browser says; UTC where it does not."""
    name = st.context.timezone
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


@cache
def _css() -> str:
    return Path(__file__).with_name("style.css").read_text("utf-8")
