"""Photographs of one person, judged one by one before anything is enrolled: what is good is kept, what is not says why.

Nothing of them leaves the session: Streamlit keeps uploads in memory under no address, and they are shown back as data URIs.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

import streamlit as st

from dashboard import failures, parts, phrases
from dashboard.components import images, shot_card
from dashboard.components.markup import block
from dashboard.components.shot_card import MOST, Shot

BEST_FIRST = "The service takes {most} photographs at once: the {most} best of those that are ticked are sent."


def ask(key: str) -> list[bytes]:
    """What the person gave and left ticked, at most as many as one request takes. Judges what is new, once."""
    source = st.segmented_control(
        "Photographs from",
        [images.FILE, images.CAMERA],
        default=images.FILE,
        required=True,
        key=f"{key}-source",
        help="Each with one upright, uncovered face.",
    )
    given = _from_camera(key) if source == images.CAMERA else _from_files(key)
    kept = [shot for place, shot in enumerate(given, start=1) if _draw(key, place, shot)]
    if len(kept) > MOST:
        st.caption(BEST_FIRST.format(most=MOST))
        kept = sorted(kept, key=lambda shot: -shot.quality)[:MOST]
    return [shot.image for shot in kept]


def start_again(key: str) -> None:
    """For the next person: no picture of the last one stays."""
    rounds = st.session_state.get(f"{key}.rounds", 0)
    for name in [str(name) for name in st.session_state if str(name).startswith(f"{key}-")]:
        if name.removeprefix(f"{key}-").startswith(("taken", "judged", "use-", "file", "camera")):
            del st.session_state[name]
    st.session_state[f"{key}.rounds"] = rounds + 1


def _round(key: str) -> str:
    """Part of the widgets' keys, so that a new round has empty ones."""
    number = st.session_state.get(f"{key}.rounds", 0)
    return f"-{number}" if number else ""


def _from_files(key: str) -> list[Shot]:
    files = st.file_uploader(
        "Photographs of one person", type=images.TYPES, accept_multiple_files=True, key=f"{key}-file{_round(key)}"
    )
    return [_judged(key, file.getvalue(), camera=False) for file in files]


def _from_camera(key: str) -> list[Shot]:
    taken: OrderedDict[str, bytes] = st.session_state.setdefault(f"{key}-taken", OrderedDict())
    if not images.camera_works(st.context.url):
        st.warning("The camera needs https or localhost: browsers refuse it on this address. Choose files instead.")
        return []
    shot = st.camera_input("One shot after another: clear a photo to take the next", key=f"{key}-camera{_round(key)}")
    if shot is not None:
        image = shot.getvalue()
        taken.setdefault(_digest(image), image)
    shots = [_judged(key, image, camera=True) for image in taken.values()]
    if shots:
        st.html(block(shot_card.advice(shots[-1])))
    return shots


def _judged(key: str, image: bytes, *, camera: bool) -> Shot:
    """The backend's opinion, asked once for each picture; one that it could not give is asked again at the next run."""
    known: dict[str, Shot] = st.session_state.setdefault(f"{key}-judged", {})
    digest = _digest(image)
    if digest not in known:
        try:
            shot = Shot(digest, image, camera, parts.current().backend.detect(image))
        except failures.FAILURES as error:
            shot = Shot(digest, image, camera, None, failures.sentence(error), refused=not failures.is_away(error))
            if failures.is_away(error):
                return shot
        known[digest] = shot
    return known[digest]


def _draw(key: str, place: int, shot: Shot) -> bool:
    """One shot with its judgement; whether it is to be sent."""
    with st.container(border=True, gap="xsmall", key=f"row-{key}-{shot.digest[:12]}"):
        st.html(block(shot_card.card(place, shot)))
        return st.checkbox(
            f"Use photograph {place}",
            value=shot.good,
            key=f"{key}-use-{shot.digest[:12]}",
            disabled=not shot.usable,
            help=None if shot.usable else phrases.plain(shot.sentence),
        )


def _digest(image: bytes) -> str:
    return hashlib.sha256(image).hexdigest()
