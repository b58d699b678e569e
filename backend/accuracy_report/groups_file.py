"""The CSV that says which group each subject belongs to: `subject,group`, and further columns for further attributes."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

Groups = Mapping[str, Mapping[str, str]]
"""attribute (the column's name) → subject → group"""


class GroupsError(Exception):
    """The file cannot be used; the message names the file, the line and what to change."""


def read_groups(file: Path, subjects: Collection[str]) -> Groups:
    """Raises GroupsError, also for a subject that is not among `subjects`; OSError when the file cannot be read."""
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise GroupsError(f"{file}: not UTF-8: save it as CSV UTF-8") from None
    rows = csv.reader(text.splitlines(), strict=True)
    try:
        attributes = _attributes(next(rows, []), file)
        found: dict[str, dict[str, str]] = {attribute: {} for attribute in attributes}
        for row in rows:
            if row:
                _take(row, found, subjects, where=f"{file}, line {rows.line_num}")
    except csv.Error as error:
        raise GroupsError(f"{file}, line {rows.line_num}: {error}") from None
    if not found[attributes[0]]:
        raise GroupsError(f"{file}, line 2: no subject follows the header")
    return found


def _attributes(header: Sequence[str], file: Path) -> list[str]:
    names = [name.strip() for name in header]
    if len(names) < 2 or names[0] != "subject" or not all(names):
        raise GroupsError(f"{file}, line 1: the header must be `subject,group`, or `subject` and a name for each attribute")
    if len(set(names)) < len(names):
        raise GroupsError(f"{file}, line 1: two columns have the same name")
    return names[1:]


def _take(row: Sequence[str], found: dict[str, dict[str, str]], subjects: Collection[str], *, where: str) -> None:
    cells = [cell.strip() for cell in row]
    if len(cells) != len(found) + 1:
        raise GroupsError(f"{where}: {len(cells)} columns, the header has {len(found) + 1}")
    subject = cells[0]
    if subject not in subjects:
        raise GroupsError(
            f"{where}: no photograph is of the subject {subject!r}: use the folder's name, or the file's without its ending"
        )
    for (attribute, groups), group in zip(found.items(), cells[1:], strict=True):
        if not group:
            raise GroupsError(f"{where}: no {attribute} of {subject!r}: write `unknown` where it is not known")
        if subject in groups:
            raise GroupsError(f"{where}: the subject {subject!r} stands there a second time")
        groups[subject] = group
