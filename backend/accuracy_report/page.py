"""The report as one file for a browser: tables and plots, no network, every name escaped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from backend.accuracy_report import charts
from backend.accuracy_report.document import Document
from backend.accuracy_report.wording import by_subject, limits, of, rate, target
from backend.faces.accuracy.alterations import WHAT

# The browser itself keeps the page from reaching out, whatever a script would like.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_STYLE = """
:root { color: #111827; background: #fff; font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
body { max-width: 1100px; margin: 0 auto; padding: 24px; }
h1 { font-size: 26px; margin: 0 0 4px; }
h2 { font-size: 19px; margin: 36px 0 8px; border-bottom: 1px solid #d1d5db; padding-bottom: 4px; }
p, li { max-width: 90ch; } .lead { color: #4b5563; margin-top: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; }
dt { color: #4b5563; } dd { margin: 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); gap: 12px; margin: 18px 0; }
.tile { border: 1px solid #d1d5db; border-radius: 8px; padding: 10px 14px; }
.tile b { display: block; font-size: 20px; } .tile span { color: #4b5563; font-size: 13px; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 4px 14px 4px 0; text-align: left; border-bottom: 1px solid #e5e7eb; vertical-align: top; }
thead th { color: #4b5563; font-weight: 600; border-bottom: 2px solid #9ca3af; }
.warning { background: #fff7ed; border-left: 4px solid #c8560b; padding: 8px 12px; }
@media print { h2 { break-after: avoid; } .js-plotly-plot { break-inside: avoid; } }
"""


def page(document: Document) -> str:
    """The whole file, as text."""
    figures = {
        "histogram": charts.histogram(document),
        "det": charts.det(document),
        "identification": charts.identification(document),
        "alterations": charts.alterations(document),
    }
    drawn = {name: figure for name, figure in figures.items() if figure is not None}
    plots = dict(zip(drawn, charts.fragments(list(drawn.values())), strict=True))
    sections = (_head, _pairs, _tradeoff, _identification, _alterations, _groups, _failures)
    body = "\n".join(part for section in sections for part in section(document, plots))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Accuracy of {escape(document['model_id'])}</title><style>{_STYLE}</style></head>\n<body>{body}</body></html>\n"
    )


def _head(document: Document, plots: dict[str, str]) -> Iterator[str]:
    yield "<h1>How well faces are told apart</h1>"
    yield f'<p class="lead">Engine {escape(document["engine"])}, model {escape(document["model_id"])}</p>'
    yield _tiles(document)
    facts = {
        "Measured": f"{document['made_at']} with version {document['version']}",
        "Photographs": f"{document['images']:,} of {document['subjects']:,} subjects in {', '.join(document['folders'])}",
        "Comparisons": f"{document['genuine_pairs']:,} of one person, {document['impostor_pairs']:,} of two people",
        "Pack": document["pack"],
        "Licence": document["licence"],
        "Score": "cosine of two templates" if document["metric"] == "cosine" else "1 − distance of two templates",
        "Thresholds": ", ".join(f"{at['name']} {at['threshold']:g}" for at in document["thresholds"]),
    }
    yield "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()) + "</dl>"
    for one, other in document["under_two_names"]:
        sentence = f"{one} and {other} are the same file as two subjects: a false match of the folders, not of the engine."
        yield f'<p class="warning">{escape(sentence)}</p>'
    yield "<h2>What these figures can bear</h2><ul>"
    yield from (f"<li>{escape(caveat)}</li>" for caveat in document["caveats"])
    yield "</ul>"


def _tiles(document: Document) -> str:
    review = next(at for at in document["thresholds"] if at["threshold"] == document["threshold"])
    tiles = [
        (f"FNMR at {document['threshold']:g}", review["fnmr"]),
        (f"FMR at {document['threshold']:g}", review["fmr"]),
        ("failures to enrol", document["fte"]),
    ]
    if document["identification"]:
        tiles.append(("ranked first", document["identification"]["rank_1"]))
    return '<div class="tiles">' + "".join(_tile(name, found) for name, found in tiles) + "</div>"


def _tile(name: str, found: Document) -> str:
    return f'<div class="tile"><span>{escape(name)}</span><b>{escape(limits(found))}</b><span>{escape(of(found))}</span></div>'


def _pairs(document: Document, plots: dict[str, str]) -> Iterator[str]:
    yield "<h2>All pairs</h2>"
    rows = [
        [
            at["name"],
            f"{at['threshold']:g}",
            *(cell for kind in ("fmr", "fnmr") for cell in (of(at[kind]), limits(at[kind]), by_subject(at[kind]))),
        ]
        for at in document["thresholds"]
    ]
    header = ["Threshold", "Score", "False matches", "FMR", "by subject", "False non-matches", "FNMR", "by subject"]
    yield _table(header, rows)
    yield plots.get("histogram", "")


def _tradeoff(document: Document, plots: dict[str, str]) -> Iterator[str]:
    yield "<h2>False non-matches against false matches</h2>"
    rows = []
    for at in document["fnmr_at_fmr"]:
        if at["supported"]:
            rows.append([target(at["target"]), f"{at['threshold']:.4f}", rate(at["fmr"]), rate(at["fnmr"])])
        else:
            needed = f"not supported: needs {at['trials_needed']:,} impostor pairs, there are {document['impostor_pairs']:,}"
            rows.append([target(at["target"]), "–", needed, "–"])
    if equal := document["equal_error"]:
        rows.append(["equal error", f"{equal['threshold']:.4f}", rate(equal["fmr"]), rate(equal["fnmr"])])
    yield _table(["FMR aimed at", "Score", "FMR", "FNMR"], rows)
    yield plots.get("det", "<p>No curve: it needs pairs of one person and pairs of two people.</p>")
    if plots.get("det") and not any(point["fmr"] and point["fnmr"] for point in document["det"]):
        yield "<p>No threshold has errors of both kinds on these photographs, so that only the limits can be drawn.</p>"


def _identification(document: Document, plots: dict[str, str]) -> Iterator[str]:
    found = document["identification"]
    if not found:
        return
    yield f"<h2>Identification among {found['gallery_size']:,}</h2>"
    yield (
        f"<p>One photograph of each of {found['gallery_size']:,} people is enrolled. {found['mated_searches']:,} searches with"
        f" another photograph of somebody enrolled (FNIR), {found['non_mated_searches']:,} with the person taken out of the"
        f" gallery (FPIR). Ranked first: {escape(rate(found['rank_1']))}.</p>"
    )
    rows = [[at["name"], f"{at['threshold']:g}", rate(at["fpir"]), rate(at["fnir"])] for at in found["thresholds"]]
    for at in found["fnir_at_fpir"]:
        if at["supported"]:
            rows.append([f"FPIR {target(at['target'])}", f"{at['threshold']:.4f}", rate(at["fpir"]), rate(at["fnir"])])
        else:
            rows.append([f"FPIR {target(at['target'])}", "–", f"not supported: needs {at['trials_needed']:,} searches", "–"])
    yield _table(["Threshold", "Score", "FPIR", "FNIR"], rows)
    yield plots.get("identification", "")


def _alterations(document: Document, plots: dict[str, str]) -> Iterator[str]:
    if not document["alterations"]:
        return
    yield "<h2>Altered copies</h2>"
    yield (
        "<p>A copy of every photograph, altered and captured again, against the template of its own original; and searched among"
        " all originals. <em>Original first</em>: nothing scores more, not even another photograph of the same person."
        " A copy that an enrolment would refuse, as its face is too small for instance, is not recognised; it is ranked by what a"
        " search finds in it.</p>"
    )
    rows = []
    for one in document["alterations"]:
        lost = ", ".join(f"{count:,} {code}" for code, count in one["not_captured"].items()) or "none"
        recalls = [rate(at) for at in one["recall"] if at["name"] in {"verification", "review"}]
        rows.append([one["name"], WHAT[one["name"]], *recalls, rate(one["original_first"]), rate(one["person_first"]), lost])
    header = ["Alteration", "", "Recall, verification", "Recall, review", "Original first", "Person first", "Not captured"]
    yield _table(header, rows)
    yield plots.get("alterations", "")


def _groups(document: Document, plots: dict[str, str]) -> Iterator[str]:
    for table in document["groups"]:
        yield f"<h2>By {escape(table['attribute'])}</h2>"
        yield (
            f"<p>Each group's people compared with each other. {table['not_listed']:,} subjects are not listed. Limits that"
            " overlap show no difference; few people in a group show little at all.</p>"
        )
        rows = [
            [group["group"], f"{group['subjects']:,}", rate(group["fte"]), at["name"], rate(at["fmr"]), rate(at["fnmr"])]
            for group in table["groups"]
            for at in group["thresholds"]
        ]
        yield _table([table["attribute"], "Subjects", "Failures to enrol", "Threshold", "FMR within the group", "FNMR"], rows)


def _failures(document: Document, plots: dict[str, str]) -> Iterator[str]:
    yield "<h2>Failures to enrol</h2>"
    yield f"<p>{escape(rate(document['fte']))}</p>"
    if document["failures"]:
        yield _table(["File", "Why"], [[failure["file"], failure["code"]] for failure in document["failures"]])
    if copies := document["copies_left_out"]:
        yield f"<p>{len(copies):,} files are copies of another of the same subject and were left out:</p>"
        yield _table(["File"], [[path] for path in copies])


def _table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
