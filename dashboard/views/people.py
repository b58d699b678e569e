"""The people who may sign in here. Administrators let them in or not, and give roles; passwords are the command line's."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import streamlit as st

from dashboard import identity, parts
from dashboard.components import frame, outcome
from dashboard.components.markup import block, table
from dashboard.fetch.seen import Seen
from dashboard.roles import Right, Role, may
from dashboard.tables import settings as tables
from dashboard.users import User, UsersError

PLACE = "people"
ADD = "python -m dashboard users add NAME --role reviewer --generate\npython -m dashboard users passwd NAME --generate"


def draw() -> None:
    outcome.draw(PLACE)
    found = frame.shown(_people(), "list of people")
    if found is None:
        return
    st.html(block(table(tables.PEOPLE, tables.people(found, frame.zone()))))
    if may(identity.person().roles, Right.manage):
        _change(found)
    st.subheader("Adding somebody, or a new password", anchor=False)
    st.caption("Where the dashboard runs; the first prints a password, which the person should change with the second.")
    st.code(ADD, language="bash")


def _people() -> Seen[list[User]]:
    """The file is read again when it changes; one that cannot be read is a sentence."""
    now = parts.current().now()
    try:
        return Seen(parts.current().users.all(), now)
    except (OSError, ValueError) as error:
        return Seen(None, None, f"The file of the people cannot be read ({type(error).__name__}).", "Failed")


def _change(found: list[User]) -> None:
    st.subheader("Change somebody", anchor=False)
    names = [user.name for user in found]
    with st.container(border=True):
        name = st.selectbox("Who", names, index=None, key="people-who", placeholder="choose a person")
        user = next((one for one in found if one.name == name), None)
        if user is None:
            return
        st.multiselect("Roles", [role.value for role in Role], [role.value for role in user.roles], key=f"roles-{user.name}")
        word = "Let in again" if user.disabled else "Disable"
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.text_input(f"Type {user.name} to confirm", key=f"typed-{user.name}")
            st.button("Set the roles", key=f"set-{user.name}", on_click=frame.acting(_roles), args=(user.name,))
            st.button(word, key=f"able-{user.name}", on_click=frame.acting(_able), args=(user.name, not user.disabled))
        st.caption(
            "Roles count from the person's next call on. Disabling ends their sessions; the APIs hear it within 5 minutes."
        )


def _roles(name: str) -> None:
    roles = [Role(one) for one in st.session_state.get(f"roles-{name}") or []]
    _attempt(
        name,
        lambda: parts.current().users.set_roles(name, roles, keep_an_admin=True),
        f"{name} has these roles now: {', '.join(roles)}.",
    )


def _able(name: str, disabled: bool) -> None:
    now = datetime.fromtimestamp(parts.current().now(), UTC)
    done = f"{name} may not sign in any more, and their sessions are over." if disabled else f"{name} may sign in again."
    _attempt(name, lambda: parts.current().users.set_disabled(name, disabled, now, keep_an_admin=True), done)


def _attempt(name: str, act: Callable[[], object], done: str) -> None:
    """Whoever asks must be an administrator now, whatever the page showed; and they typed the name."""
    if not may(identity.person().roles, Right.manage):
        outcome.say(PLACE, "bad", "Only an administrator may do this.")
    elif str(st.session_state.get(f"typed-{name}") or "").strip() != name:
        outcome.say(PLACE, "warn", f"Nothing was changed: type the name, {name}.")
    else:
        try:
            act()
        except UsersError as error:
            outcome.say(PLACE, "warn", f"Nothing was changed: {error}.")
        except OSError as error:
            outcome.say(PLACE, "bad", f"The file of the people cannot be written ({type(error).__name__}): use the command line.")
        else:
            outcome.say(PLACE, "good", done)
