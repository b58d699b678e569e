"""Faces as data URIs inside the page: a media URL would answer anybody who knows it, without a cookie."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from datetime import tzinfo

from backend import wire
from dashboard import phrases
from dashboard.components import alignment
from dashboard.components.markup import facts, table, text
from dashboard.palette import SUBJECTS

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def picture(crop: bytes | str | None, alt: str, *, style: str = "") -> str:
    """An image, or the sentence why there is none."""
    if isinstance(crop, bytes):
        styled = f' style="{text(style)}"' if style else ""
        return f'<img alt="{text(alt)}"{styled} src="data:image/jpeg;base64,{b64encode(crop).decode("ascii")}">'
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
    """Two figures with the eyes in the same place and equally far apart, the survivor framed and named."""
    subjects = {subject.id: subject for subject in case.subjects}
    named = letters(case)
    drawn = "".join(_figure(side, subjects, named, crops, survivor_id, zone) for side in sides)
    return f'<div class="faces" data-case="{text(case.id)}">{drawn}</div>'


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
    remains = " · remains if the same" if kept else ""
    image = _framed(crops.get(side.sample_id), sample, f"Face of subject {letter}, {name}")
    about += [] if "style=" in image or "<img" not in image else ["eyes not aligned: where they are is not known"]
    said = f'<strong>{letter} · {text(name)}</strong>{remains}<br><span class="soft">{text(" · ".join(about))}</span>'
    return f'<figure class="{"kept" if kept else ""}">{image}<figcaption>{said}</figcaption></figure>'


def _framed(crop: bytes | str | None, sample: wire.Sample | None, alt: str) -> str:
    """The picture laid into a square by its eyes; a picture without them is shown whole."""
    if not isinstance(crop, bytes):
        return picture(crop, alt)
    place = alignment.placed(sample.landmarks if sample else None, alignment.width_of(crop))
    image = picture(crop, alt, style=place.style() if place else "")
    return f'<div class="frame{"" if place else " whole"}"><div class="plane">{image}</div></div>'


def strip(case: wire.Case, portraits: Sequence[wire.CaseSide], crops: Mapping[str, bytes | str], shown: Collection[str]) -> str:
    """All members of a cluster, small; `shown`: the subjects that are compared at the moment."""
    named = letters(case)
    subjects = {subject.id: subject for subject in case.subjects}
    cells = []
    for side in portraits:
        letter, name = named[side.subject_id], label(subjects[side.subject_id])
        sample = next((one for one in subjects[side.subject_id].samples if one.id == side.sample_id), None)
        image = _framed(crops.get(side.sample_id), sample, f"Portrait of subject {letter}, {name}")
        now = "compared now" if side.subject_id in shown else ""
        cells.append(
            f'<figure class="{"now" if now else ""}">{image}<figcaption><strong>{letter}</strong> {text(name)}'
            f'<br><span class="soft">{now}</span></figcaption></figure>'
        )
    left = len(case.subjects) - len(portraits)
    more = f'<p class="soft">and {phrases.counted(left, "more record")} without a portrait here</p>' if left else ""
    return f'<div class="strip" role="group" aria-label="All records of this cluster">{"".join(cells)}{more}</div>'


RELATIONS = {
    "pair": "flagged",
    "below": "below the threshold",
    "above": "above it, never flagged",
    "distinct": "decided to be different people",
    "merged": "one person by a decision",
    "unknown": "cannot be compared",
}


def matrix(entries: Sequence[wire.MatrixEntry], named: Mapping[str, str]) -> str:
    """How alike every two members of a cluster are, the most alike first."""
    ordered = sorted(entries, key=lambda entry: -1.0 if entry.score is None else entry.score, reverse=True)
    rows = [
        (f"{named.get(entry.a, '?')} and {named.get(entry.b, '?')}", phrases.number(entry.score, 3), RELATIONS[entry.relation])
        for entry in ordered
    ]
    return table(["Two of them", "Score", "Known of them"], rows, numeric=["Score"])


APART = 20
"""of 100: quality that differs by as much speaks for the picture, not for the person"""


def qualities(sides: Sequence[tuple[str, wire.Quality | None]]) -> str:
    """Quality of the two pictures by component, `sides` as letter and quality; what is far apart says so in a word."""
    known = [(letter, quality) for letter, quality in sides if quality is not None]
    names = list(dict.fromkeys(name for _, quality in known for name in quality.components))
    rows: list[list[str]] = []
    marked: list[bool] = []
    lines: list[tuple[str, list[int | None]]] = [("Overall", [quality.overall for _, quality in known])]
    lines += [(phrases.in_words(name), [quality.components.get(name) for _, quality in known]) for name in names]
    for title, values in lines:
        numbers = [value for value in values if value is not None]
        apart = len(numbers) > 1 and max(numbers) - min(numbers) >= APART
        rows.append([title, *(phrases.number(value) for value in values), "far apart" if apart else "alike"])
        marked.append(apart)
    advice = "".join(
        f"<li class=warn><strong>{text(letter)}</strong> {text(reason.advice)} <code>{text(reason.code)}</code></li>"
        for letter, quality in known
        for reason in quality.reasons
    )
    drawn = table(["Quality, of 100", *(letter for letter, _ in known), "Compared"], rows, marked=marked) if known else ""
    missing = [letter for letter, quality in sides if quality is None]
    told = f'<p class="soft">Nothing is known of the picture of {text(" and ".join(missing))}.</p>' if missing else ""
    return drawn + (f'<ul class="notes">{advice}</ul>' if advice else "") + told


def decisions(case: wire.Case, words: Mapping[str, str], named: Mapping[str, str], now: float) -> str:
    """What was decided so far, as far as the service shows it: before the second of two has decided, nothing."""
    rows = []
    for place, one in enumerate(case.decisions, start=1):
        remains = f"{named.get(one.survivor_id, '?')} remains" if one.survivor_id and one.verdict == "same" else ""
        why = " · ".join(part for part in (one.reason and f"reason {one.reason}", remains, one.note) if part)
        struck = " (undone since)" if one.undone else ""
        bulk = " in bulk" if one.bulk_id else ""
        rows.append([f"{place}", f"{words[one.verdict]}{struck}{bulk}", one.actor_name, why, phrases.since(one.at, now)])
    return table(["", "Decided", "By", "Why", "When"], rows) if rows else ""


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
        about = f"quality {sample.quality.overall} of 100 · {phrases.moment(sample.created_at, zone)}"
        about += f". {advice}" if advice else ""
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
