"""The composition root: settings, parts, serve."""

from __future__ import annotations

from pathlib import Path

from starlette.formparsers import MultiPartParser
from starlette.middleware import Middleware
from streamlit.starlette import App

from dashboard import assets, exporting, identity, parts, sign_in, trail_export
from dashboard.appearance import streamlit_config
from dashboard.gate import Gate
from dashboard.settings import Settings
from dashboard.warm import warmed


def build(settings: Settings) -> App:
    """The dashboard as an ASGI application: our routes and our gate before Streamlit's.

    Raises:
        SigningKeyError: there is no usable signing key.
    """
    # Streamlit reads uploads with this parser, which lays what is longer in a file on disk: no photograph may lie there
    MultiPartParser.spool_max_size = (settings.max_upload_mb + 1) * 2**20
    made = parts.build(settings, identity.token)
    parts.install(made)
    # an absolute path: a plain relative one would be resolved twice
    return App(
        Path(__file__).resolve().with_name("sitemap.py"),
        routes=[*sign_in.routes(made), *exporting.routes(made), *trail_export.routes(made), *assets.routes()],
        middleware=[Middleware(Gate, parts=made)],
        lifespan=warmed,
    )


def serve(settings: Settings) -> None:
    """Serve until told to stop."""
    app = build(settings)
    try:
        app.run(config=streamlit_config(settings))
    finally:
        parts.current().close()
