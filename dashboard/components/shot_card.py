"""One photograph and what the backend finds in it: whether it is good enough, and what to do better. Pure."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

from backend import wire
from dashboard import phrases
from dashboard.components.markup import badge, said, text
from dashboard.palette import Look

MOST = 10
"""photographs in one request, unless the service's BACKEND_MAX_IMAGES says less (it then says so)"""
SHOWN_BYTES = 2 * 2**20
"""of one photograph that is shown back: it is sent with each redraw of the page"""
MAGIC = {b"\xff\xd8\xff": "jpeg", b"\x89PNG": "png", b"RIFF": "webp", b"BM": "bmp"}

GOOD, POOR, NONE, UNKNOWN = (
    Look("GOOD", "●", "good"),
    Look("COULD BE BETTER", "▲", "warn"),
    Look("NOT USABLE", "■", "bad"),
    Look("NOT JUDGED", "?", "mute"),
)


@dataclass(frozen=True)
class Shot:
    """`found` is None where it could not be judged, and `why` says so; `refused`: the backend can make nothing of it."""

    digest: str
    image: bytes
    camera: bool
    found: wire.Detection | None
    why: str | None = None
    refused: bool = False

    @property
    def face(self) -> wire.DetectedFace | None:
        """The largest."""
        faces = self.found.faces if self.found else []
        return max(faces, key=lambda face: face.box.width * face.box.height, default=None)

    @property
    def quality(self) -> int:
        """0 to 100; of what was not judged 0."""
        return self.face.quality.overall if self.face else 0

    @property
    def usable(self) -> bool:
        """Whether it may be sent: a face was found in it, or nobody could look."""
        return self.face is not None if self.found else True

    @property
    def good(self) -> bool:
        """Whether it is sent unless the person says otherwise. Of the camera what is flawless: another shot costs nothing."""
        if self.found is None:
            return True
        if self.face is None or len(self.found.faces) > 1:
            return False
        return not (self.camera and self.face.quality.reasons)

    @property
    def look(self) -> Look:
        if self.found is None:
            return NONE if self.refused else UNKNOWN
        if self.face is None:
            return NONE
        return GOOD if len(self.found.faces) == 1 and not self.face.quality.reasons else POOR

    @property
    def sentence(self) -> str:
        """What to do better, or that nothing has to be."""
        if self.found is None:
            return self.why or "It could not be judged."
        if self.face is None:
            return "No face was found: look into the camera, with light on your face."
        said = [reason.advice for reason in self.face.quality.reasons]
        if (count := len(self.found.faces)) > 1:
            said.insert(0, f"{count} faces are in it: one person alone, please.")
        return " ".join(said) or "One face, nothing to mend."


def advice(shot: Shot) -> str:
    """What is said straight after a shot, under the camera."""
    tail = "It is kept." if shot.good else "It is not kept unless you tick it below."
    return said(shot.look.tone, f"{shot.look.word}: {shot.sentence} {tail}")


def card(place: int, shot: Shot) -> str:
    quality = f"quality {shot.quality} of 100" if shot.face else ""
    components = ""
    if shot.face is not None:
        weakest = sorted(shot.face.quality.components.items(), key=lambda item: item[1])[:3]
        components = "weakest: " + ", ".join(f"{phrases.in_words(name)} {value}" for name, value in weakest) if weakest else ""
    soft = "".join(f'<p class="soft">{text(line)}</p>' for line in (shot.sentence, components) if line)
    head = f'<div class="row">{badge(shot.look)}<strong>Photograph {place}</strong><span class="soft">{quality}</span></div>'
    return f'<div class="shot">{_picture(place, shot)}<div>{head}{soft}</div></div>'


def _picture(place: int, shot: Shot) -> str:
    kind = next((kind for magic, kind in MAGIC.items() if shot.image.startswith(magic)), None)
    if kind is None or len(shot.image) > SHOWN_BYTES:
        return f'<div class="none">{len(shot.image) / 2**20:.1f} MiB</div>'
    source = f"data:image/{kind};base64,{b64encode(shot.image).decode('ascii')}"
    return f'<div class="seen"><img alt="Photograph {place} as it was given" src="{source}">{_box(shot)}</div>'


def _box(shot: Shot) -> str:
    """The face that was found, in percent of the picture: both scale alike."""
    if shot.found is None or shot.face is None or not shot.found.width or not shot.found.height:
        return ""
    box, wide, high = shot.face.box, shot.found.width, shot.found.height
    left, top = 100 * box.x / wide, 100 * box.y / high
    size = f"width:{100 * box.width / wide:.1f}%;height:{100 * box.height / high:.1f}%"
    return f'<i style="left:{left:.1f}%;top:{top:.1f}%;{size}"></i>'
