"""API keys of machines: make one (its secret is shown once), limit, rotate and revoke."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import streamlit as st

from backend import wire
from dashboard import identity, parts, phrases
from dashboard.components import frame, outcome
from dashboard.components.markup import block, line
from dashboard.fetch import keys as fetch
from dashboard.roles import Right, may
from dashboard.tables import settings as tables

PLACE = "keys"
NEW = "keys-new"
ENDS = {"30 days": 30, "90 days": 90, "1 year": 365, "No end": None}


@dataclass(frozen=True)
class Made:
    """A key that was just made: in this session alone, until the person says that it is put away."""

    name: str
    secret: str = field(repr=False)


def draw() -> None:
    outcome.draw(PLACE)
    _secret()
    with st.expander("New key", icon=":material/add:"):
        _form()
    found = frame.shown(fetch.keys(), "list of keys")
    if found is None:
        return
    if not found:
        frame.empty("No program has a key yet. Each key would be here, with its scopes, its last use and its end.")
        return
    now = parts.current().now()
    valid = [one for one in found if tables.key_look(one, now).word == "VALID"]
    over = [one for one in found if one not in valid]
    st.caption(f"{phrases.counted(len(valid), 'valid key')}, {len(over)} revoked or expired")
    for one in valid:
        _one(one)
    if over and st.toggle(f"Show the {len(over)} that are over", key="keys-over"):
        for one in over:
            _one(one)


def _secret() -> None:
    made: Made | None = st.session_state.get(NEW)
    if made is None:
        return
    with st.container(border=True):
        st.warning(f"The secret of {phrases.plain(made.name)}. It is shown only now: put it away.", icon=":material/key:")
        st.code(made.secret, language=None, wrap_lines=True)
        st.button("I have put it away", key="keys-seen", on_click=_forget)


def _still_shown() -> bool:
    """One secret at a time: another key, or a button that was pressed twice, would put its own in the place of one unread."""
    made: Made | None = st.session_state.get(NEW)
    if made is not None:
        outcome.say(PLACE, "warn", f"Nothing was made: the secret of {made.name} is still here. Put it away first.")
    return made is not None


def _forget() -> None:
    st.session_state.pop(NEW, None)


def _form() -> None:
    # one per form: pressing twice, or after a lost answer, makes one key
    st.session_state.setdefault("keys-once", secrets.token_hex(16))
    st.text_input("Name", key="keys-name", max_chars=100, placeholder="what uses it, e.g. turnstile-north")
    st.multiselect("Scopes", [scope.value for scope in wire.Scope], key="keys-scopes", help="As the roles of the same names; "
        "client enrols and recognises, viewer reads fleet data.")  # fmt: skip
    st.segmented_control("Ends after", list(ENDS), default="1 year", required=True, key="keys-end")
    st.number_input(
        "Requests per minute", min_value=0, max_value=100_000, value=None, key="keys-rate", placeholder="the server's default",
        help="At each replica; 0: no limit.",
    )  # fmt: skip
    st.button("Make the key", type="primary", key="keys-do", on_click=frame.acting(_make))


def _make() -> None:
    if _still_shown():
        return
    state = st.session_state
    name, scopes = str(state.get("keys-name") or "").strip(), list(state.get("keys-scopes") or [])
    if not name or not scopes:
        outcome.say(PLACE, "warn", "Give the key a name and at least one scope.")
        return
    days = ENDS[str(state.get("keys-end"))]
    end = datetime.fromtimestamp(parts.current().now(), UTC) + timedelta(days=days) if days else None
    # to the minute, so that pressing again asks for the same thing
    asked = end.replace(second=0, microsecond=0) if end else None
    wanted = [wire.Scope(one) for one in scopes]
    rate, once = state.get("keys-rate"), str(state["keys-once"])

    def make() -> None:
        made = parts.current().backend.create_key(
            name, wanted, expires_at=asked, rate_per_minute=rate, idempotency_key=f"dashboard-{once}"
        )
        state[NEW] = Made(made.name, made.secret)

    if outcome.attempt(PLACE, make, f"The key {name} is made."):
        state["keys-name"], state["keys-scopes"], state["keys-rate"] = "", [], None
        state["keys-once"] = secrets.token_hex(16)


def _one(one: wire.Key) -> None:
    now, zone = parts.current().now(), frame.zone()
    look = tables.key_look(one, now)
    with st.container(border=True, gap="xsmall", key=f"row-{one.id}"):
        st.html(block(line(look, one.name, tables.key_text(one, zone, now))))
        if look.word != "VALID":
            return
        with st.expander("Change"):
            with st.container(horizontal=True, vertical_alignment="bottom"):
                st.number_input(
                    "Requests per minute",
                    0,
                    100_000,
                    one.rate_per_minute,
                    key=f"rate-{one.id}",
                    placeholder="the server's default",
                )
                st.button("Set the limit", key=f"limit-{one.id}", on_click=frame.acting(_limit), args=(one.id, one.name))
            with st.container(horizontal=True, vertical_alignment="bottom"):
                st.text_input(f"Type {phrases.plain(one.name)} to rotate or revoke it", key=f"typed-{one.id}")
                st.button(
                    "Rotate", key=f"rotate-{one.id}", on_click=frame.acting(_rotate), args=(one,),
                    help="Makes a key like it, and shows its secret. Revoke the old one when its program has the new one.",
                )  # fmt: skip
                st.button(
                    "Revoke", key=f"revoke-{one.id}", on_click=frame.acting(_revoke), args=(one,), help="It is refused at once."
                )


def _limit(key_id: str, name: str) -> None:
    rate = st.session_state.get(f"rate-{key_id}")
    own = f"may send {rate:,} requests per minute at each replica" if rate else "has no limit"
    said = f"{name} {own if rate is not None else 'has the limit that the servers give to all'}."
    outcome.attempt(PLACE, lambda: parts.current().backend.change_key(key_id, {"rate_per_minute": rate}), said)


def _rotate(one: wire.Key) -> None:
    if not _typed(one) or _still_shown():
        return
    lasted = one.expires_at - one.created_at if one.expires_at else None
    now = datetime.fromtimestamp(parts.current().now(), UTC).replace(microsecond=0)

    def make() -> None:
        made = parts.current().backend.create_key(
            one.name, one.scopes, expires_at=now + lasted if lasted else None, rate_per_minute=one.rate_per_minute,
            synthetic=one.synthetic,
        )  # fmt: skip
        st.session_state[NEW] = Made(made.name, made.secret)

    old = phrases.short_id(one.id)
    outcome.attempt(PLACE, make, f"{one.name} has a second key. Give it to its program, then revoke the old one ({old}).")


def _revoke(one: wire.Key) -> None:
    if _typed(one):
        outcome.attempt(
            PLACE, lambda: parts.current().backend.revoke_key(one.id), f"{one.name} is revoked: it is refused at once."
        )


def _typed(one: wire.Key) -> bool:
    if not may(identity.person().roles, Right.manage):
        return False
    if str(st.session_state.get(f"typed-{one.id}") or "").strip() == one.name:
        return True
    outcome.say(PLACE, "warn", f"Nothing was done: type the name of the key, {one.name}.")
    return False
