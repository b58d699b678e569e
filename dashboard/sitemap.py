"""The sitemap: which pages there are, and for whom. Streamlit runs this file for each full run of a page."""

from __future__ import annotations

import streamlit as st

from dashboard import identity
from dashboard.components import frame
from dashboard.roles import Right, may
from dashboard.sessions import Person
from dashboard.views import (
    accuracy,
    alerts,
    api,
    audit,
    backend,
    certificates,
    duplicates,
    fleet,
    load,
    scans,
    settings,
    subjects,
)

PAGES = (
    (Right.see_fleet, "Operations", fleet.page, "Fleet", ":material/dns:", "fleet"),
    (Right.see_fleet, "Operations", backend.page, "Backend", ":material/developer_board:", "backend"),
    (Right.see_fleet, "Operations", load.page, "Load", ":material/bar_chart:", "load"),
    (Right.see_fleet, "Operations", certificates.page, "Certificates", ":material/verified_user:", "certificates"),
    (Right.see_fleet, "Operations", alerts.page, "Alerts", ":material/notifications:", "alerts"),
    (Right.see_queue, "People", duplicates.page, "Duplicates", ":material/compare:", "duplicates"),
    (Right.see_subjects, "People", subjects.page, "Subjects", ":material/person_search:", "subjects"),
    (Right.see_scans, "People", scans.page, "Scans", ":material/radar:", "scans"),
    (Right.see_accuracy, "People", accuracy.page, "Accuracy", ":material/target:", "accuracy"),
    (Right.see_audit, "System", audit.page, "Audit", ":material/history:", "audit"),
    (Right.see_fleet, "System", settings.page, "Settings", ":material/settings:", "settings"),
    (Right.see_api, "System", api.page, "API", ":material/api:", "api"),
)


# inside the page: Streamlit would fetch a named icon from another host
ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32' fill='none'"
    " stroke='%232456c7' stroke-width='3'%3E"
    "%3Ccircle cx='12' cy='16' r='9'/%3E%3Ccircle cx='20' cy='16' r='9'/%3E%3C/svg%3E"
)

WORDMARK = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 150 32' fill='none'%3E"
    "%3Cg stroke='%234f7fe6' stroke-width='3'%3E%3Ccircle cx='12' cy='16' r='9'/%3E%3Ccircle cx='20' cy='16' r='9'/%3E%3C/g%3E"
    "%3Ctext x='38' y='22' fill='%234f7fe6' font-family='sans-serif' font-size='18' font-weight='700'%3E"
    "Face Auth%3C/text%3E%3C/svg%3E"
)


def main() -> None:
    st.set_page_config(page_title="Face Auth", page_icon=ICON, layout="wide", initial_sidebar_state="expanded")
    frame.styles()
    try:
        person = identity.touch()
    except identity.SignedOut:
        st.navigation([frame.signed_out], position="hidden").run()
        return
    _keep_sessions_apart(person)
    sections: dict[str, list[st.Page]] = {}
    for right, section, page, title, icon, path in PAGES:
        if may(person.roles, right):
            sections.setdefault(section, []).append(st.Page(page, title=title, icon=icon, url_path=path))
    first = next(pages[0] for pages in sections.values())
    # a default page has no path of its own; this one only leads on, so every page keeps the same URL for everybody
    start = st.Page(lambda: st.switch_page(first), title="Start", url_path="start", default=True, visibility="hidden")
    st.logo(WORDMARK, size="large")
    chosen = st.navigation({"": [start], **sections})
    frame.who(person)
    chosen.run()


def _keep_sessions_apart(person: Person) -> None:
    """A browser that reconnects with another cookie must not find what the last person had on the screen."""
    if st.session_state.get("session") != person.session:
        if "session" in st.session_state:
            st.query_params.clear()  # the address names what was open
        st.session_state.clear()
        st.session_state["session"] = person.session


if __name__ == "__main__":  # as Streamlit runs it; tests read the pages off it
    main()
