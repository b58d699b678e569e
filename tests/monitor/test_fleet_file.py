"""fleet.yaml: read whole or refused whole, with line, field and reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monitor.fleet_file import FleetFile, FleetFileError, parse, read

GOOD = """\
version: 1
backends:
  - name: b1
    url: https://127.0.0.1:8001
    address: 127.0.0.1:8001
    server_name: b1.face-auth.internal
    ca_file: ca.pem
  - {name: b2, url: "http://10.0.0.2:8000", address: "10.0.0.2:8000", server_name: b2}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "fleet.yaml"
    path.write_text(GOOD)
    return path


def test_relative_paths_are_below_the_files_folder(path: Path) -> None:
    assert read(path).backends[0].ca_file == path.parent / "ca.pem"


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "reason"),
    [
        ("url: https://127.0.0.1:8001", "url: ftp://x", 4, "backends.0.url", "http:// or https://"),
        ("url: https://127.0.0.1:8001", "url: https://a:b@x", 4, "backends.0.url", "no credential"),
        ("    ca_file: ca.pem", "    wieght: 3", 7, "backends.0.wieght", "Extra inputs"),
        ("version: 1", "version: 2", 1, "version", "Input should be 1"),
        ("name: b2", "name: B_2", 8, "backends.1.name", "pattern"),
        ("name: b2", "name: b1", 1, "fleet", "same name: b1"),
        ("    address: 127.0.0.1:8001\n", "", 3, "backends.0.address", "required"),
        ("  - name: b1", "  - name: b1\n    name: b9", 4, "backends.0.name", "stands twice"),
        ("    ca_file: ca.pem", "    api_key: fa_1_secret", 7, "backends.0.api_key", "literal credential"),
        ("    ca_file: ca.pem", "   ca_file: ca.pem", 7, "yaml", "expected"),
        (GOOD, "", 1, "file", "empty"),
        (GOOD, "- a\n- b\n", 1, "fleet", "valid dictionary"),
        ("version: 1", "version: !!python/object/apply:os.system ['true']", 1, "yaml", "could not determine a constructor"),
    ],
)
def test_a_mistake_is_refused_with_line_field_and_reason(
    path: Path, old: str, new: str, line: int, field: str, reason: str
) -> None:
    assert old in GOOD
    with pytest.raises(FleetFileError) as refused:
        parse(GOOD.replace(old, new, 1).encode(), path=path)
    first = refused.value.mistakes[0]
    assert (first.line, first.field) == (line, field)
    assert reason in first.reason
    assert f"fleet.yaml:{line}: {field}: " in str(refused.value)


def test_every_mistake_is_named_at_once(path: Path) -> None:
    text = GOOD.replace("ca_file: ca.pem", "wieght: 3").replace("name: b2", "name: B2")
    with pytest.raises(FleetFileError) as refused:
        parse(text.encode(), path=path)
    assert [mistake.line for mistake in refused.value.mistakes] == [7, 8]


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FleetFileError, match="No such file"):
        read(tmp_path / "fleet.yaml")


def test_a_change_is_noticed_once_and_by_content(path: Path) -> None:
    file = FleetFile(path)
    assert file.changed() == GOOD.encode()
    assert file.changed() is None
    os.utime(path, (1, 1))
    assert file.changed() is None, "touched, not changed"
    path.write_text(GOOD + "# new\n")
    assert file.changed() == (GOOD + "# new\n").encode()


def test_a_file_swapped_behind_a_link_is_noticed(tmp_path: Path) -> None:
    """As Kubernetes and config volumes do it: same name, same time stamp, another target."""
    for name, text in (("one", GOOD), ("two", GOOD.replace("b2", "b3"))):
        (tmp_path / name).write_text(text)
        os.utime(tmp_path / name, (5, 5))
    link = tmp_path / "fleet.yaml"
    link.symlink_to("one")
    file = FleetFile(link)
    file.changed()
    link.unlink()
    link.symlink_to("two")
    assert file.changed() == GOOD.replace("b2", "b3").encode()


def test_a_file_that_went_and_came_back_unchanged_is_told_of_once_and_then_fine(path: Path) -> None:
    file = FleetFile(path)
    file.changed()
    path.unlink()
    with pytest.raises(FleetFileError):
        file.changed()
    path.write_text(GOOD)
    assert file.changed() == GOOD.encode(), "so that the error that was shown goes away"
