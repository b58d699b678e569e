"""The page API: with the reader's own URL; and every example on it, run against a real backend."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backend import errors
from backend.wire import Scope
from dashboard import api_examples as examples
from tests.api.pictures import same_woman, woman
from tests.api.service import Service, make_site, serving, wait_until
from tests.dashboard import samples
from tests.dashboard.conftest import Desktop, html, read, said

FLEET = ("GET", "/v1/fleet")


# --- the page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["operator", "reviewer", "supervisor", "admin"])
def test_everybody_reads_it_with_the_balancers_url(desktop: Desktop, role: str) -> None:
    desktop.monitor.routes = {FLEET: lambda _: samples.fleet(samples.backend("b1"))}
    app = desktop.open(role, "api")
    assert not app.exception
    if role == "reviewer":
        assert "https://127.0.0.1:8443" not in html(app), "reviewers do not see the fleet"
        assert desktop.backend.url in html(app)
        return
    assert "https://127.0.0.1:8443" in html(app)
    assert "export URL=https://127.0.0.1:8443\n" in app.code[0].value
    assert [link.proto.url for link in app.get("link_button")] == [
        "https://127.0.0.1:8443/docs",
        "https://127.0.0.1:8443/openapi.json",
    ]
    assert "--cacert ca.pem" in read(said(app))


def test_without_a_monitor_it_shows_what_the_dashboard_calls(desktop: Desktop) -> None:
    desktop.monitor.stop()
    app = desktop.open("operator", "api")
    assert not app.exception
    assert desktop.backend.url in html(app)
    assert "perhaps an address that only it can reach" in html(app)


def test_each_example_is_there_in_both_languages(desktop: Desktop) -> None:
    app = desktop.open("operator", "api")
    curl = "\n".join(code.value for code in app.code)
    app.segmented_control(key="api-language").set_value("Python").run()
    python = "\n".join(code.value for code in app.code)
    for one in examples.EXAMPLES:
        assert one.curl in curl
        assert one.python in python
    assert "ProblemError" in python


# --- the examples -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(make_site(tmp_path_factory.mktemp("site") / "site")) as running:
        yield running


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    (tmp_path / "ada.jpg").write_bytes(woman())
    (tmp_path / "ada-2.jpg").write_bytes(same_woman())
    return tmp_path


def shell(command: str, folder: Path, service: Service, **more: str) -> str:
    environment = {**os.environ, "URL": service.url, "no_proxy": "*", **more}
    done = subprocess.run(
        ["bash", "-e", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_every_curl_example_does_what_it_says(service: Service, photographs: Path) -> None:
    ids: dict[str, str] = {}
    begin = examples.at(examples.BEGIN_CURL, service.url).replace("fa_…", service.site.key("admin"))
    assert "subjects" in shell(begin, photographs, service)
    for one in examples.EXAMPLES:
        key = service.site.key(str(one.scopes[0]))
        commands = one.curl.split("\ncurl")
        for command in [commands[0], *(f"curl{rest}" for rest in commands[1:])]:
            answer = shell(command, photographs, service, KEY=key, **ids)
            if one.name == "Enrol a person":
                ids["SUBJECT"] = json.loads(answer)["subject_id"]
            if "/v1/scans'" in command or command.endswith("/v1/scans"):
                ids["SCAN"] = json.loads(answer)["id"]
    with service.client(service.site.key("admin")) as done:
        wait_until(lambda: done.scan(ids["SCAN"]).finished_at, within_s=60, what="the end of the scan")
        assert json.loads((photographs / "ada.json").read_text())["subject_id"] == ids["SUBJECT"]
        assert done.subjects(external_id="A-1").items == [], "the last one erased her"


def test_every_python_example_does_what_it_says(service: Service, photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photographs)
    monkeypatch.setenv("KEY", service.site.key("admin", "reviewer"))
    code = [examples.BEGIN_PYTHON, *(one.python for one in examples.EXAMPLES), examples.FAILURES_PYTHON]
    # its own key: the erased person's first answer is gone, and the key with it stands for another body
    written = examples.at("\n".join(code), service.url).replace('"ada-1"', '"ada-python-1"')
    out, place = io.StringIO(), dict[str, Any]()
    with contextlib.redirect_stdout(out):
        exec(written, place)  # noqa: S102
    place["faces"].close()
    lines = out.getvalue().splitlines()
    assert re.match(r"sub_\w+ active \[", lines[0])
    assert lines[1].startswith("match ")
    assert lines[-1].startswith("404 subject_not_found ")


def test_each_example_is_allowed_to_exactly_the_scopes_that_it_names(service: Service) -> None:
    paths = service.get("/openapi.json").json()["paths"]
    for one in examples.EXAMPLES:
        method, path = one.call.split()
        wanted = path.replace("{id}", "{subject_id}")
        assert method.lower() in paths[wanted], one.call
        for scope in Scope:
            answer = service.request(method, path.replace("{id}", "sub_x"), service.site.key(str(scope)))
            assert (answer.status_code != 403) is (scope in one.scopes), (one.name, scope, answer.text)


def test_the_codes_that_it_names_exist() -> None:
    known = {kind.code() for kind in _all(errors.FaceAuthError)}
    for one in examples.EXAMPLES:
        assert set(one.errors) <= known, one.name


def _all(kind: type[errors.FaceAuthError]) -> set[type[errors.FaceAuthError]]:
    return {kind, *(deeper for sub in kind.__subclasses__() for deeper in _all(sub))}
