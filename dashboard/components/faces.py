"""Faces as data URIs inside the page: a media URL would answer anybody who knows it, without a cookie."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from datetime import tzinfo

from backend import wire
from dashboard import phrases
from dashboard.components.markup import facts, table, text
from dashboard.palette import SUBJECTS

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def picture(crop: bytes | str | None, alt: str) -> str:
    """An image, or the sentence why there is none."""
    if isinstance(crop, bytes):
        return f'<img alt="{text(alt)}" src="data:image/jpeg;base64,{b64encode(crop).decode("ascii")}">'
    return f'<div class="none">{text(crop or "No picture is stored.")}</div>'


def letters(case: wire.Case) -> dict[str, str]:
    """A letter for each subject of a case, the oldest first."""
    ordered = sorted(case.subjects, key=lambda subject: (subject.created_at, subject.id))
    return {subject.id: LETTERS[place % 26] for place, subject in enumerate(ordered)}


def label(subject: wire.Subject) -> str:
    """What a person calls a subject: its external id, else its name in the metadata, else the end of its id."""
    return subject.external_id or subject.metadata.get("name") or phrases.short_id(subject.id)


def side_by_side(
    case: wire.Case, sides: Sequence[wire.CaseSide], crops: Mapping[str, bytes | str], survivor_id: str | None, zone: tzinfo
) -> str:
    """Two figures at the same scale, the survivor framed and named."""
    subjects = {subject.id: subject for subject in case.subjects}
    named = letters(case)
    return f'<div class="faces">{"".join(_figure(side, subjects, named, crops, survivor_id, zone) for side in sides)}</div>'


def _figure(
    side: wire.CaseSide,
    subjects: Mapping[str, wire.Subject],
    named: Mapping[str, str],
    crops: Mapping[str, bytes | str],
    survivor_id: str | None,
    zone: tzinfo,
) -> str:
    subject = subjects.get(side.subject_id)
    letter = named.get(side.subject_id, "?")
    kept = side.subject_id == survivor_id
    name = label(subject) if subject else phrases.short_id(side.subject_id)
    sample = next((sample for sample in subject.samples if sample.id == side.sample_id), None) if subject else None
    about = [f"enrolled {phrases.moment(subject.created_at, zone)}"] if subject else []
    about += [f"quality {sample.quality.overall} of 100"] if sample else []
    about += [reason.code for reason in sample.quality.reasons] if sample else []
    remains = " · remains if the same" if kept else ""
    said = f'<strong>{letter} · {text(name)}</strong>{remains}<br><span class="soft">{text(" · ".join(about))}</span>'
    image = picture(crops.get(side.sample_id), f"Face of subject {letter}, {name}")
    return f'<figure class="{"kept" if kept else ""}">{image}<figcaption>{said}</figcaption></figure>'


def score_scale(pair: wire.CasePair) -> str:
    """The score on its scale, with the threshold in words. Scores are the engine's own: no percentage."""
    tone = "bad" if pair.band == "certain" else "warn"
    low, high = min(0.0, pair.score, pair.threshold), max(1.0, pair.score)
    place, mark = (100 * (value - low) / (high - low) for value in (pair.score, pair.threshold))
    drawn = f'<i style="width:{place:.1f}%"></i><u style="left:{mark:.1f}%" title="review from {pair.threshold:.3f}"></u>'
    said = text(score_sentence(pair))
    return f'<div class="{tone}"><p>{said}</p><div class="scale" role="img" aria-label="{said}">{drawn}</div></div>'


def score_sentence(pair: wire.CasePair) -> str:
    above = pair.score - pair.threshold
    band = "in the certain band" if pair.band == "certain" else "in the band that needs a person"
    chance = (
        f" A false candidate in a search of it is expected {phrases.one_in(pair.expected_fpir)}."
        if pair.expected_fpir is not None
        else ""
    )
    return (
        f"Score {pair.score:.3f}: {above:.3f} above the review threshold of {pair.threshold:.3f}, {band}."
        f" The gallery held {phrases.counted(pair.gallery_size, 'template')}.{chance}"
    )


def differences(subjects: Sequence[wire.Subject], named: Mapping[str, str], zone: tzinfo) -> str:
    """The subjects' records beside each other; rows that differ say so in a word and by colour."""
    rows: list[list[str]] = []
    marked: list[bool] = []
    for name, values in record_rows(subjects, zone):
        differs = len(set(values)) > 1
        rows.append([name, *values, "differs" if differs else "same"])
        marked.append(differs)
    return table(["Field", *(named.get(subject.id, "?") for subject in subjects), "Compared"], rows, marked=marked)


def record_rows(subjects: Sequence[wire.Subject], zone: tzinfo) -> list[tuple[str, list[str]]]:
    """Field and value per subject: external id first, then metadata by name, then what the system knows."""
    rows = [("External id", [subject.external_id or phrases.NOTHING for subject in subjects])]
    for name in sorted({name for subject in subjects for name in subject.metadata}):
        rows.append((name, [subject.metadata.get(name, phrases.NOTHING) for subject in subjects]))
    rows.append(("State", [SUBJECTS[subject.state].word for subject in subjects]))
    rows.append(("Enrolled", [phrases.moment(subject.created_at, zone) for subject in subjects]))
    rows.append(("Samples", [str(len(subject.samples)) for subject in subjects]))
    return rows


def samples(subject: wire.Subject, crops: Mapping[str, bytes | str], zone: tzinfo) -> str:
    """All samples of one subject; where no crop may be seen, their numbers alone."""
    figures = []
    for place, sample in enumerate(subject.samples, start=1):
        image = picture(crops[sample.id], f"Sample {place} of {label(subject)}") if sample.id in crops else ""
        advice = " ".join(reason.advice for reason in sample.quality.reasons)
        about = f"quality {sample.quality.overall} of 100 · {phrases.moment(sample.created_at, zone)} {advice}"
        said = f'<strong>Sample {place}</strong><br><span class="soft">{text(about)}</span>'
        figures.append(f"<figure>{image}<figcaption>{said}</figcaption></figure>")
    return f'<div class="gallery">{"".join(figures)}</div>'


def quality(values: Sequence[wire.Quality]) -> str:
    """What an enrolment says about each image, with the advice for the next shot."""
    parts = []
    for place, value in enumerate(values, start=1):
        advice = "".join(
            f"<li class=warn>{text(reason.advice)} <code>{text(reason.code)}</code></li>" for reason in value.reasons
        )
        components = [(phrases.in_words(name), f"{score}") for name, score in value.components.items()]
        parts.append(facts([(f"Image {place}: quality", f"{value.overall} of 100"), *components], wide=True))
        parts.append(f'<ul class="notes">{advice}</ul>' if advice else "")
    return "".join(parts)
