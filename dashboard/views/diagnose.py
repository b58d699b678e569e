"""Diagnose: try a target step by step from the monitor, begun by a person; what came stays until the next one."""

from __future__ import annotations

import streamlit as st

from dashboard import failures, parts
from dashboard.components import frame, one_backend
from dashboard.components.markup import block, said
from monitor import wire


def draw(name: str) -> None:
    st.subheader("Diagnose", anchor=False)
    st.caption("From the monitor, step by step: name, TCP, TLS, certificate, HTTP, each probe, clock. It takes some seconds.")
    if st.button(f"Diagnose {name}", key="diagnose", icon=":material/stethoscope:"):
        with st.spinner("The monitor tries it: at most half a minute."):
            _run(name, None, None)
    with st.expander("Diagnose another address"), st.form("diagnose-url", border=False):
        url = st.text_input("URL", key="diagnose-url-value", placeholder="for example https://b4.internal:8000", max_chars=2000)
        server_name = st.text_input("Name to verify, where it is not the URL's host", key="diagnose-server-name", max_chars=253)
        if st.form_submit_button("Diagnose this address"):
            with st.spinner("The monitor tries it: at most half a minute."):
                _run(name, url.strip(), server_name.strip() or None)
    came = st.session_state.get(f"diagnosis-{name}")
    if isinstance(came, wire.Diagnosis):
        st.html(block(one_backend.diagnosis(came, frame.zone())))
    elif came is not None:
        st.html(block(said("bad", str(came))))


def _run(name: str, url: str | None, server_name: str | None) -> None:
    if url == "":
        st.session_state[f"diagnosis-{name}"] = "Give the address first, as https://host:port."
        return
    ask = parts.current().operator.diagnose
    try:
        found = ask(target=name) if url is None else ask(url=url, server_name=server_name)
    except failures.FAILURES as error:
        st.session_state[f"diagnosis-{name}"] = failures.sentence(error)
        return
    except ValueError:
        st.session_state[f"diagnosis-{name}"] = "The name to verify has letters, digits, dots and hyphens only."
        return
    st.session_state[f"diagnosis-{name}"] = found
