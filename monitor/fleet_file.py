"""Reads `fleet.yaml` with line numbers, and notices when it changed.

A file that is wrong is refused whole, with line, field and reason; who watches the old fleet goes on doing so.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from monitor.fleet import Fleet

SECRET_WORDS = ("password", "passwd", "secret", "token", "api_key", "apikey", "credential", "private_key")
REFERENCES = ("file:", "env:")
A_NAME = re.compile(r"[A-Za-z_]{1,40}|[A-Za-z0-9_-]{1,20}")
# Of a single character it is the grammar's.
QUOTED = re.compile(r"'[^']{2,}'|\"[^\"]{2,}\"")


class FleetFileError(Exception):
    """The file cannot be used; the message has one line per mistake: ``fleet.yaml:7: backends.0.url: reason``."""

    def __init__(self, path: Path, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        super().__init__("\n".join(f"{path.name}:{m.line}: {m.field}: {m.reason}" for m in mistakes))


@dataclass(frozen=True)
class Mistake:
    line: int
    field: str
    reason: str


Place = tuple[str | int, ...]


def read(path: Path) -> Fleet:
    """The fleet that the file describes; relative paths become absolute, below the file's folder. Raises `FleetFileError`."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise FleetFileError(path, [Mistake(0, "file", error.strerror or "cannot be read")]) from error
    return parse(text, path=path)


def parse(text: bytes, *, path: Path) -> Fleet:
    """The fleet in `text`, as if it stood in `path`. Raises `FleetFileError`."""
    data, lines = _load(text, path)
    literal = list(_literal_credentials(data, lines))
    if literal:
        raise FleetFileError(path, literal)
    try:
        return Fleet.from_data(data, base=path.resolve().parent)
    except ValidationError as error:
        raise FleetFileError(path, [_mistake(one, lines) for one in error.errors()]) from error


def lines(text: bytes, *, path: Path) -> dict[Place, int]:
    """The line of every value in `text`, by its place: ``("backends", 0, "url")``. Raises `FleetFileError`."""
    return _load(text, path)[1]


def _load(text: bytes, path: Path) -> tuple[Any, dict[Place, int]]:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise FleetFileError(path, [Mistake(1, "file", "is empty")])
        lines: dict[Place, int] = {}
        _walk(node, (), lines, path)
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise FleetFileError(path, [Mistake(line, "yaml", _unquoted(error.problem or "is not YAML"))]) from error
    except yaml.YAMLError as error:
        raise FleetFileError(path, [Mistake(1, "yaml", _unquoted(str(error)))]) from error
    finally:
        loader.dispose()


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int], path: Path) -> None:
    """Note the line of every value; refuse a key that stands twice, of which YAML would silently keep the last."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*place, index), lines, path)
    elif isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            here = (*place, str(key.value))
            if key.value in seen:
                raise FleetFileError(path, [Mistake(key.start_mark.line + 1, _dotted(here), "stands twice")])
            seen.add(key.value)
            lines[here] = key.start_mark.line + 1
            _walk(value, here, lines, path)


def _literal_credentials(data: Any, lines: dict[Place, int], place: Place = ()) -> Iterator[Mistake]:
    if isinstance(data, dict):
        for key, value in data.items():
            here = (*place, str(key))
            if isinstance(value, str) and _is_secret_name(str(key)) and not value.startswith(REFERENCES):
                yield Mistake(lines.get(here, 1), _dotted(here), "holds a literal credential: give file:PATH or env:NAME")
            yield from _literal_credentials(value, lines, here)
    elif isinstance(data, list):
        for index, item in enumerate(data):
            yield from _literal_credentials(item, lines, (*place, index))


def _is_secret_name(key: str) -> bool:
    return any(word in key.lower() for word in SECRET_WORDS)


def _mistake(error: Any, lines: dict[Place, int]) -> Mistake:
    place: Place = tuple(error["loc"])
    known = place
    while known and known not in lines:
        known = known[:-1]
    return Mistake(lines.get(known, 1), _dotted(place) or "fleet", str(error["msg"]).removeprefix("Value error, "))


def _dotted(place: Place) -> str:
    """A credential at a field's place (`key {fa_…}`) must not stand in a log or an answer: the line says where it is."""
    return ".".join(str(part) if isinstance(part, int) or A_NAME.fullmatch(part) else "…" for part in place)


def _unquoted(problem: str) -> str:
    """Without what it quotes: a password that begins with `*` or `!` is an alias or a tag to YAML, which names it."""
    return QUOTED.sub("…", problem)


class FleetFile:
    """The file on disk: `changed()` says whether its content is another than at the last look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._digest: bytes | None = None

    def changed(self) -> bytes | None:
        """The new content, where it differs from the last one seen, else None. Raises `FleetFileError` when it cannot be read.

        Content decides, not the time alone: editors, volumes that swap a link, and copies within one tick of the clock.
        """
        try:
            found = self.path.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._stamp:
                return None
            text = self.path.read_bytes()
        except OSError as error:
            self._stamp = self._digest = None
            raise FleetFileError(self.path, [Mistake(0, "file", error.strerror or "cannot be read")]) from error
        self._stamp = stamp
        digest = hashlib.sha256(text).digest()
        if digest == self._digest:
            return None
        self._digest = digest
        return text
