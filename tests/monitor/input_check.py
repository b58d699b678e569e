"""Every field of the fleet file and of the API's bodies and queries, given wrongly in each way that its kind allows.

    python -m tests.monitor.input_check

A fleet file with one wrong field must be refused with its line, its field and a reason, while the old fleet stays watched; a
request must be answered with a 4xx problem document that names the field. The schema itself says which fields there are, so a new
one is tried without being named here. Prints each that went wrong, and at last `fields=… tried=… wrong=…`; exit status 1 if any.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import httpx
import yaml
from pydantic import BaseModel

from monitor import fleet
from monitor.app import build
from monitor.fleet import Fleet
from monitor.fleet_file import FleetFile
from monitor.monitor import Monitor
from monitor.settings import Settings
from monitor.store.database import Database

Path_ = tuple[str | int, ...]

# A fleet file with every field of `monitor.fleet` in it.
FULL: dict[str, Any] = {
    "version": 1,
    "service": "face-auth-system",
    "balancer": {
        "kind": "nginx",
        "strategy": "least_connections",
        "url": "https://api.example.com",
        "listen": "0.0.0.0:443",
        "redirect_listen": "0.0.0.0:80",
        "acme": "127.0.0.1:8888",
        "server_name": "api.example.com",
        "ca_file": "ca.pem",
        "cert_file": "cert.pem",
        "key_file": "key.pem",
        "stats_address": "127.0.0.1:8080",
        "access_log": "access.log",
        "error_log": "error.log",
        "backend_server_name": "backend.example.com",
        "zone": "a",
        "rate_per_client": 100,
    },
    "backends": [
        {
            "name": "b1",
            "url": "https://127.0.0.1:8001",
            "address": "127.0.0.1:8001",
            "server_name": "b1.internal",
            "ca_file": "ca.pem",
            "region": "local",
            "zone": "a",
            "weight": 100,
        },
        {"name": "b2", "url": "http://127.0.0.1:8002", "address": "127.0.0.1:8002", "server_name": "b2.internal"},
    ],
    "synthetic": {"key": "file:key", "genuine": ["a1.jpg", "a2.jpg"], "impostor": ["a1.jpg", "b.jpg"]},
    "drain": {"key": "env:DRAIN_KEY"},
    "alerts": {"routes": [{"name": "r", "url": "env:ROUTE"}], "heartbeat": {"url": "env:HEARTBEAT"}},
    "probes": {"reference_url": "https://reference.example.com"},
    "dashboard": {"url": "https://dashboard.example.com", "address": "127.0.0.1:8501"},
    "certificates": {"watch": [{"name": "x", "address": "127.0.0.1:443", "server_name": "x.internal", "ca_file": "ca.pem"}]},
}

NOT_PLACES = ["h", ":80", "h:0", "h:65536", "h:x", "http://h:1", "h h:1"]
NOT_ADDRESSES = [*NOT_PLACES, "169.254.169.254:80", "2852039166:80", "[fe80::1]:80", "100.100.100.200:80"]
NOT_HTTP = ["ftp://x", "x", "http://", "http://x:0", "http://x:99999", "http://x y", "http://x\nHost: y"]
NOT_URLS = [*NOT_HTTP, "http://a:b@x", "http://x?q=1"]
METADATA_URLS = [
    "http://169.254.169.254",
    "http://0xa9fea9fe/",
    "http://[::ffff:169.254.169.254]",
    "http://metadata.google.internal",
]
# What no field of its name may hold, beside what its type already refuses.
BY_NAME: dict[str, list[Any]] = {
    "address": NOT_ADDRESSES,
    "stats_address": NOT_ADDRESSES,
    "acme": NOT_ADDRESSES,
    "listen": ["h", ":443", "h:0", "h:65536"],
    "redirect_listen": ["h", ":80", "h:0", "h:65536"],
    "url": [*NOT_URLS, *METADATA_URLS],
    "name": ["", "B1", "b_1", "-b", "b" * 64, "b 1"],
    "version": [0, 2, "1.0"],
    "weight": [0, 257, 1.5],
    "fall": [0, 21, 1.5],
    "rise": [0, 21, 1.5],
}
WRONG_BY_TYPE: dict[str, list[Any]] = {
    "string": [[], {}, 7],
    "number": ["x", [], {}, math.nan, math.inf, -math.inf, -1, 0, 1e300],
    "integer": ["x", [], {}, math.nan, 1.5, -1, 10**30],
    "boolean": ["maybe", [], 7],
    "array": ["x", {}, 7],
    "object": ["x", [], 7],
}
# Of our own fields: a string that is no word. Those of other modules say themselves what they take.
NO_WORDS = ["", "a\x00b", "a\nb", "x" * 3000]


@dataclass
class Tally:
    fields: set[str] = field(default_factory=set)
    tried: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, name: str, what: str, fault: str | None) -> None:
        self.fields.add(name)
        self.tried += 1
        if fault is not None:
            self.wrong.append(f"{name} = {what[:60]}: {fault}")


def main() -> int:
    logging.disable(logging.ERROR)  # a refused file is an error in the log, as it should be
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        check_fleet(Path(folder), tally)
    with tempfile.TemporaryDirectory() as folder:
        check_api(Path(folder), tally)
    for line in tally.wrong:
        print(line)
    print(f"fields={len(tally.fields)} tried={tally.tried} wrong={len(tally.wrong)}")
    return int(bool(tally.wrong))


# --- the fleet file -------------------------------------------------------------------------------------------------------


def check_fleet(folder: Path, tally: Tally) -> None:
    """A real monitor reads each wrong file, and goes on watching the right one."""
    path = folder / "fleet.yaml"
    path.write_text(yaml.safe_dump(FULL))
    database = Database.open(f"sqlite:///{folder}/monitor.db")
    try:
        monitor: Monitor = build(Settings(_env_file=None), FleetFile(path), database).state.monitor
        asyncio.run(_read_each(monitor, path, tally))
    finally:
        database.close()


async def _read_each(monitor: Monitor, path: Path, tally: Tally) -> None:
    watched = monitor.watch.fleet
    for place, value in _mutations(Fleet, ()):
        text = yaml.safe_dump(_with(FULL, place, value), sort_keys=False)
        await _read(monitor, path, text)
        name = ".".join(str(part) for part in place if not isinstance(part, int))
        tally.note(name, repr(value), _fault(monitor.watch.fleet_error, place, text))
        if monitor.watch.fleet != watched:
            tally.note(name, repr(value), "the old fleet is no longer watched")
        await _read(monitor, path, yaml.safe_dump(FULL))
        if monitor.watch.fleet_error is not None:
            raise AssertionError(f"the right file is refused: {monitor.watch.fleet_error}")


async def _read(monitor: Monitor, path: Path, text: str) -> None:
    await asyncio.to_thread(path.write_text, text)
    await monitor.read_fleet_file()


def _fault(error: str | None, place: Path_, text: str) -> str | None:
    """None where the file was refused for this field, on its line, with a reason."""
    if error is None:
        return "accepted"
    dotted = ".".join(str(part) for part in place)
    for line in error.splitlines():
        _, number, where, reason = line.split(":", 3)
        if dotted.startswith(where.strip()) or where.strip().startswith(dotted):
            if not reason.strip():
                return "no reason is given"
            return None if int(number) in _lines(text, place) else f"refused on line {number}, it stands on {_lines(text, place)}"
    return f"refused for something else: {error.splitlines()[0]}"


def _lines(text: str, place: Path_) -> set[int]:
    """The lines on which the field, or what holds it where it is missing, may be said to stand."""
    node, lines = yaml.compose(text, yaml.SafeLoader), {1}
    for part in place:
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(part)]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = [(node.value[part], node.value[part])]
        else:
            found = []
        if not found:
            return lines
        key, node = found[0]
        lines = {key.start_mark.line + 1, node.start_mark.line + 1}
    return lines


def _mutations(model: type[BaseModel], place: Path_) -> Iterator[tuple[Path_, Any]]:
    """Every field of the schema with every value that it must refuse."""
    yield (*place, "surprise"), 1
    for name, about in model.model_fields.items():
        here = (*place, name)
        schema = model.model_json_schema()["properties"][name]
        yield from ((here, value) for value in _wrong_for(name, schema, ours=model.__module__ == fleet.__name__))
        if about.is_required():
            yield here, MISSING
        for inner, in_list in _models_in(about.annotation):
            yield from _mutations(inner, (*here, 0) if in_list else here)


def _wrong_for(name: str, schema: dict[str, Any], *, ours: bool) -> Iterator[Any]:
    options = schema.get("anyOf", [schema])
    kinds = {option.get("type", "object" if "$ref" in option else None) for option in options}
    if "null" not in kinds:
        yield None
    kind = next((one for one in kinds if one not in (None, "null")), None)
    bounds = [option for option in options if option.get("type") == "number"]
    is_time = any(option.get("format") == "date-time" for option in options)
    for value in WRONG_BY_TYPE.get(kind or "", []):
        if is_time and value == 7:
            continue  # seconds since 1970
        if value == 0 and not any("exclusiveMinimum" in option for option in bounds):
            continue
        yield value
    yield from BY_NAME.get(name, []) if ours else []
    if kind == "string" and ours:
        yield from NO_WORDS


def _models_in(annotation: Any, *, in_list: bool = False) -> Iterator[tuple[type[BaseModel], bool]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, in_list
    for part in get_args(annotation):
        yield from _models_in(part, in_list=in_list or getattr(annotation, "__origin__", None) is list)


class _Missing:
    def __repr__(self) -> str:
        return "(missing)"


MISSING = _Missing()


def _with(data: dict[str, Any], place: Path_, value: Any) -> dict[str, Any]:
    """A copy with one value changed; what leads to it is made where it is not there."""
    changed: dict[str, Any] = copy.deepcopy(data)
    at: Any = changed
    for part, following in pairwise(place):
        empty: Any = [] if isinstance(following, int) else {}
        if isinstance(part, int):
            while len(at) <= part:
                at.append(copy.deepcopy(empty))
            at = at[part]
        else:
            at = at.setdefault(part, empty)
    if value is MISSING:
        at.pop(place[-1], None)
    else:
        at[place[-1]] = value
    return changed


# --- the API --------------------------------------------------------------------------------------------------------------

# A right body of each call that takes one, so that only the field in question is wrong.
BODIES: dict[str, dict[str, Any]] = {
    "/v1/diagnoses": {"url": "http://127.0.0.1:1"},
    "/v1/backends/{name}/drain": {"accept_left": 0},
    "/v1/distribution-checks": {"requests": 10},
    "/v1/silences": {"matchers": {"rule": "BackendDown"}, "ends_at": "2100-01-01T00:00:00Z", "comment": "x"},
    "/v1/maintenance": {"backends": ["b1"], "ends_at": "2100-01-01T00:00:00Z", "comment": "x"},
}
NOT_BODIES: dict[str, bytes] = {
    "no JSON": b"{",
    "a list": b"[]",
    "a word": b'"x"',
    "nested without end": b"[" * 100_000,
    "not UTF-8": b'{"\xff": 1}',
}


def check_api(folder: Path, tally: Tally) -> None:
    from tests.monitor.test_api import serving  # a fixture's module: pytest is not needed for the fleet file

    with serving(folder) as url, httpx.Client(base_url=url, timeout=30) as client:
        described = client.get("/openapi.json").json()
        for path, methods in described["paths"].items():
            for method, operation in methods.items():
                _check_operation(client, described, method, path, operation, tally)


def _check_operation(
    client: httpx.Client, described: dict[str, Any], method: str, path: str, operation: dict[str, Any], tally: Tally
) -> None:
    address = path.replace("{name}", "b1")
    for parameter in operation.get("parameters", []):
        schema = parameter["schema"]
        options = schema.get("anyOf", [schema])
        if parameter["in"] == "query" and any(one.get("type") in ("integer", "number") or "format" in one for one in options):
            numbers = () if any("format" in one for one in options) else ("-1", "99999999999999999999")  # a number is a time too
            for value in ("x", "nan", "1e400", "\x00", "", *numbers):
                answer = client.request(method, address, params={parameter["name"]: value})
                tally.note(f"{path}?{parameter['name']}", value, _not_refused(answer, parameter["name"]))
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is None:
        return
    name = body.get("$ref", "").rpartition("/")[2]
    for field_name, schema in described["components"]["schemas"].get(name, {}).get("properties", {}).items():
        for value in _wrong_for(field_name, schema, ours=False):
            if isinstance(value, float) and not math.isfinite(value):
                continue  # JSON has none
            answer = client.request(method, address, json=BODIES.get(path, {}) | {field_name: value})
            tally.note(f"{path}:{field_name}", repr(value), _not_refused(answer, field_name))
    answer = client.request(method, address, json=BODIES.get(path, {}) | {"surprise": 1})
    tally.note(f"{path}:surprise", "1", _not_refused(answer, "surprise"))
    for what, content in NOT_BODIES.items():
        answer = client.request(method, address, content=content, headers={"Content-Type": "application/json"})
        tally.note(f"{path}:body", what, _not_refused(answer, ""))
    if path == "/v1/diagnoses":
        for url in [*NOT_URLS, *METADATA_URLS]:
            tally.note(
                f"{path}:url",
                url,
                _not_refused(client.post(path, json={"url": url}), "refused" if url in METADATA_URLS else "url"),
            )


def _not_refused(answer: httpx.Response, named: str) -> str | None:
    """None where the answer is a 4xx problem document that names the field."""
    if not 400 <= answer.status_code < 500:
        return f"answered {answer.status_code}"
    if answer.headers["content-type"] != "application/problem+json":
        return f"answered {answer.status_code} without a problem document"
    detail = str(answer.json().get("detail", ""))
    return None if named in detail else f"the answer does not name it: {detail[:80]}"


if __name__ == "__main__":
    sys.exit(main())
