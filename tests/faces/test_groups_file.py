"""The CSV of groups: read as people write it, refused with the line and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.accuracy_report.groups_file import GroupsError, read_groups

SUBJECTS = {"ada", "eve", "Smith, J"}


def written(folder: Path, text: str) -> Path:
    (folder / "groups.csv").write_bytes(text.encode("utf-8"))
    return folder / "groups.csv"


def test_each_column_after_the_first_is_an_attribute(tmp_path: Path) -> None:
    file = written(tmp_path, '\ufeffsubject,age,region\r\nada, 20-30 ,north\r\n\r\n"Smith, J",30-40,south\r\n')
    found = read_groups(file, SUBJECTS)
    assert found == {"age": {"ada": "20-30", "Smith, J": "30-40"}, "region": {"ada": "north", "Smith, J": "south"}}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1: the header must be"),
        ("name,group\nada,a\n", "line 1: the header must be"),
        ("subject\nada\n", "line 1: the header must be"),
        ("subject,group,group\nada,a,b\n", "line 1: two columns"),
        ("subject,group\n", "line 2: no subject follows"),
        ("subject,group\nada,a\neve\n", "line 3: 1 columns, the header has 2"),
        ("subject,group\nada,a\neve,\n", "line 3: no group of 'eve'"),
        ("subject,group\nada,a\nada,b\n", "line 3: the subject 'ada' stands there a second time"),
        ("subject,group\nada,a\nbob,b\n", "line 3: no photograph is of the subject 'bob'"),
        ('subject,group\nada,"a\n', "line 2: unexpected end of data"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(GroupsError, match=reason):
        read_groups(written(tmp_path, text), SUBJECTS)


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "groups.csv").write_bytes("subject,group\nada,Zürich\n".encode("latin-1"))
    with pytest.raises(GroupsError, match="UTF-8"):
        read_groups(tmp_path / "groups.csv", SUBJECTS)
