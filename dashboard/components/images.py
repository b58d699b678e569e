"""Taking one photograph from the person at the screen: a file or the camera."""

from __future__ import annotations

from urllib.parse import urlsplit

import streamlit as st

TYPES = ["jpg", "jpeg", "png", "webp", "bmp"]
FILE, CAMERA = "File", "Camera"


def camera_works(url: str | None) -> bool:
    """Browsers give a camera to https pages and to localhost alone."""
    parts = urlsplit(url or "")
    return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


def ask(label: str, key: str) -> bytes | None:
    """The bytes of a photograph; None while there is none."""
    source = st.segmented_control(
        f"{label}: from",
        [FILE, CAMERA],
        default=FILE,
        required=True,
        key=f"{key}-source",
        help="A photograph with one upright, uncovered face.",
    )
    if source == CAMERA:
        if not camera_works(st.context.url):
            st.warning("The camera needs https or localhost: browsers refuse it on this address. Choose a file instead.")
            return None
        shot = st.camera_input(label, key=f"{key}-camera")
        return shot.getvalue() if shot else None
    file = st.file_uploader(label, type=TYPES, key=f"{key}-file")
    return file.getvalue() if file else None
