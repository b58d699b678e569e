"""The document for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from backend.accuracy_report.document import Document
from backend.accuracy_report.wording import by_subject, limits, of, rate, target

SHOWN_FAILURES = 20


def sentences(document: Document) -> str:
    parts = (_head, _thresholds, _tradeoff, _identification, _alterations, _groups, _caveats)
    return "\n".join(line for part in parts for line in part(document))


def _head(document: Document) -> Iterator[str]:
    yield f"{document['images']:,} images of {document['subjects']:,} subjects; failures to enrol {rate(document['fte'])}"
    failures = document["failures"]
    yield from (f"  {failure['file']}: {failure['code']}" for failure in failures[:SHOWN_FAILURES])
    if len(failures) > SHOWN_FAILURES:
        yield f"  and {len(failures) - SHOWN_FAILURES:,} more: --json names all"
    if document["copies_left_out"]:
        yield f"{len(document['copies_left_out']):,} files are copies of another of the same subject: left out"
    for one, other in document["under_two_names"]:
        yield f"warning: {one} and {other} are the same file as two subjects: a false match of the folders, not of the engine"
    bound = document["fmr_at_most"]
    yield f"at the score {document['threshold']:g} ({document['metric']}), model {document['model_id']}:"
    yield f"  {document['false_matches']:,} false matches of {document['impostor_pairs']:,} impostor pairs" + (
        f" (FMR at most {bound:.2g} at 95 %)" if bound is not None else ""
    )
    yield f"  {document['false_non_matches']:,} false non-matches of {document['genuine_pairs']:,} genuine pairs"


def _thresholds(document: Document) -> Iterator[str]:
    rows = [
        [
            at["name"],
            f"{at['threshold']:g}",
            of(at["fmr"]),
            limits(at["fmr"]),
            by_subject(at["fmr"]),
            of(at["fnmr"]),
            limits(at["fnmr"]),
            by_subject(at["fnmr"]),
        ]
        for at in document["thresholds"]
    ]
    header = ["threshold", "score", "false matches", "FMR", "by subject", "false non-m.", "FNMR", "by subject"]
    yield from _table("All pairs (95 % limits)", header, rows)


def _tradeoff(document: Document) -> Iterator[str]:
    rows = [
        [target(at["target"]), f"{at['threshold']:.4f}", rate(at["fnmr"])]
        if at["supported"]
        else [target(at["target"]), "-", f"not supported: needs {at['trials_needed']:,} impostor pairs"]
        for at in document["fnmr_at_fmr"]
    ]
    if equal := document["equal_error"]:
        both = f"FMR {limits(equal['fmr'])}, FNMR {limits(equal['fnmr'])}"
        rows.append(["equal error", f"{equal['threshold']:.4f}", both])
    yield from _table("FNMR where FMR is", ["FMR", "score", "FNMR"], rows)


def _identification(document: Document) -> Iterator[str]:
    found = document["identification"]
    if not found:
        return
    title = (
        f"Identification, N = {found['gallery_size']:,}: {found['mated_searches']:,} mated and"
        f" {found['non_mated_searches']:,} non-mated searches; ranked first {rate(found['rank_1'])}"
    )
    rows = [[at["name"], f"{at['threshold']:g}", rate(at["fpir"]), rate(at["fnir"])] for at in found["thresholds"]]
    for at in found["fnir_at_fpir"]:
        name = f"FPIR {target(at['target'])}"
        if at["supported"]:
            rows.append([name, f"{at['threshold']:.4f}", rate(at["fpir"]), rate(at["fnir"])])
        else:
            rows.append([name, "-", f"not supported: needs {at['trials_needed']:,} searches", ""])
    yield from _table(title, ["threshold", "score", "FPIR", "FNIR"], rows)


def _alterations(document: Document) -> Iterator[str]:
    if not document["alterations"]:
        return
    names = [at["name"] for at in document["alterations"][0]["recall"] if at["name"] in {"verification", "review"}]
    rows = []
    for one in document["alterations"]:
        recalls = {at["name"]: at for at in one["recall"]}
        lost = ", ".join(f"{count} {code}" for code, count in one["not_captured"].items()) or "none"
        ranks = [short(one["original_first"]), short(one["person_first"])]
        rows.append([one["name"], *(short(recalls[name]) for name in names), *ranks, lost])
    header = ["alteration", *(f"recall, {name}" for name in names), "original first", "person first", "not captured"]
    yield from _table("Altered copies against their originals (95 % limits)", header, rows)


def short(found: Document) -> str:
    """`165/166, 99 % (97–100 %)`"""
    return f"{found['seen']}/{found['trials']}, {limits(found)}"


def _groups(document: Document) -> Iterator[str]:
    for table in document["groups"]:
        rows = [
            [group["group"], str(group["subjects"]), rate(group["fte"]), at["name"], rate(at["fmr"]), rate(at["fnmr"])]
            for group in table["groups"]
            for at in group["thresholds"]
        ]
        header = [table["attribute"], "subjects", "FTE", "threshold", "FMR within the group", "FNMR"]
        yield from _table(f"By {table['attribute']} ({table['not_listed']:,} subjects not listed)", header, rows)


def _caveats(document: Document) -> Iterator[str]:
    yield ""
    yield from (f"* {caveat}" for caveat in document["caveats"])


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[place]) for row in [header, *rows]) for place in range(len(header))]
    yield from ("", title)
    for row in [header, *rows]:
        yield "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
