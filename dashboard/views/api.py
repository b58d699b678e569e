"""API: how to call it, with the reader's own URL."""

from __future__ import annotations

from functools import cache

import streamlit as st

from dashboard import api_examples as examples
from dashboard import identity, parts, phrases
from dashboard.components import frame
from dashboard.components.markup import block, facts, table
from dashboard.fetch import fleet as fetch
from dashboard.roles import Right, may

RULES = (
    (
        "Keys",
        "Each program sends `Authorization: Bearer` with a key of its own. An administrator makes it (Settings, API keys): its "
        "secret is shown once. A key has scopes, may have an end, and is revoked at once on every replica.",
    ),
    (
        "Errors",
        "Every refusal is a problem document (RFC 9457, `application/problem+json`): `code` is stable and for programs, `detail` "
        "says what to change. 401 no valid key, 403 not with its scopes, 409 not as things are, 422 the request, 503 try again.",
    ),
    (
        "Sending again",
        "Reads may be repeated. For what creates, send an `Idempotency-Key`: the same key and body get the first answer for 24 "
        "hours, through whichever replica; another body gets 422. The Python client does both by itself.",
    ),
    (
        "Limits",
        "A key with a limit gets `RateLimit` headers; beyond it 429 `rate_limited` with `Retry-After`. Each replica counts for "
        "itself. 503 carries `Retry-After` too. Images: 10 MiB and 40 million pixels unless the operator set other limits.",
    ),
)


def page() -> None:
    frame.heading("API", "How programs enrol, verify and identify: HTTPS and JSON, or forms with files.")
    url, whence = _url()
    st.html(block(facts([("Base URL", url), ("From", whence), ("Version", "v1: additions only")], wide=True)))
    with st.container(horizontal=True):
        st.link_button("Every call, with examples", url + examples.DOCS, icon=":material/menu_book:")
        st.link_button("OpenAPI description", url + examples.SCHEMA, icon=":material/data_object:")
    left, right = st.columns(2, gap="medium")
    for place, (name, words) in enumerate(RULES):
        with (left, right)[place % 2], st.container(border=True, gap="xsmall"):
            st.markdown(f"**{name}**\n\n{words}")
    language = st.segmented_control("Examples with", ["curl", "Python"], default="curl", required=True, key="api-language")
    python = language == "Python"
    st.subheader("Begin", anchor=False)
    _code(examples.BEGIN_PYTHON if python else examples.BEGIN_CURL, url, python)
    if url.startswith("https:"):
        with_ca = 'ca_file="ca.pem"' if python else "--cacert ca.pem"
        st.caption(f"Where the certificate is of your own CA: {with_ca}. Never switch the check off.")
    st.subheader("Calls", anchor=False)
    for one in examples.EXAMPLES:
        _example(one, url, python)
    if python:
        st.subheader("When it is refused", anchor=False)
        _code(examples.FAILURES_PYTHON, url, python)


def _example(one: examples.Example, url: str, python: bool) -> None:
    with st.expander(f"{one.name} · {phrases.plain(one.call)}"):
        st.caption(phrases.plain(one.about))
        _code(one.python if python else one.curl, url, python)
        st.html(_known(one))


@cache
def _known(one: examples.Example) -> str:
    rows = [["A key with one of the scopes", ", ".join(one.scopes)]]
    if one.errors:
        rows.append(["Codes worth a branch", ", ".join(one.errors)])
    return block(table(["What", "Which"], rows))


def _code(code: str, url: str, python: bool) -> None:
    st.code(examples.at(code, url), language="python" if python else "bash", wrap_lines=True)


def _url() -> tuple[str, str]:
    """Where clients call: the balancer of the fleet file where it names one, else what the dashboard itself calls."""
    seen = fetch.lately().value if may(identity.person().roles, Right.see_fleet) else None
    if seen is not None and seen.balancer is not None and seen.balancer.url:
        return seen.balancer.url.rstrip("/"), "the balancer in fleet.yaml"
    return parts.current().settings.backend_urls[0], "what this dashboard calls: perhaps an address that only it can reach"
