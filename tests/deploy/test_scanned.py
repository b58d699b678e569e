"""Strangers' judgement of what is rendered: gixy on nginx' file, sslscan on both balancers while they run."""

from __future__ import annotations

import json
import subprocess
import xml.etree.ElementTree as Xml
from pathlib import Path

import pytest

from deploy.layout import ROOT
from deploy.local.balancers import installed
from tests.deploy.conftest import Running, tool
from tests.deploy.tools.install import NGINX

EXCUSED = {
    # of the server that answers strangers nothing; everywhere else tests/deploy/test_balancers.py asks for the header
    "hsts_header",
}
MODERN = {"TLSv1.2", "TLSv1.3"}


def test_gixy_finds_nothing_in_the_committed_file(tmp_path: Path) -> None:
    gixy = tool(NGINX, "gixy")
    whole = tmp_path / "nginx.conf"
    include = (ROOT / "deploy" / "nginx" / "nginx-load-balancer.conf").read_text("utf-8")
    whole.write_text(f"events {{\n}}\nhttp {{\n{include}\n}}\n")
    done = subprocess.run(
        [gixy, "--format", "json", "--skips", ",".join(sorted(EXCUSED)), str(whole)],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    found = [(issue["plugin"], issue["severity"]) for issue in json.loads(done.stdout or "[]")]
    assert found == []
    broken = whole.read_text().replace("proxy_set_header Host $host;", "proxy_set_header Host $http_host;", 1)
    whole.write_text(broken)
    noticed = subprocess.run([gixy, "--format", "json", str(whole)], capture_output=True, text=True, check=False, timeout=60)
    assert "host_spoofing" in noticed.stdout, "it would notice one"


def test_sslscan_sees_modern_tls_alone(balancer: Running) -> None:
    program = installed("sslscan")
    if program is None:
        pytest.skip("sslscan is not installed: `make system`")
    listening = balancer.data["balancer"]["listen"]
    done = subprocess.run(
        [program, "--xml=-", "--no-colour", "--sni-name=face-auth.internal", listening],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    told = Xml.fromstring(done.stdout[done.stdout.index("<?xml") :])  # noqa: S314 - our own program's words
    spoken = [one for one in told.iter("protocol") if one.get("enabled") == "1"]
    enabled = {f"{(one.get('type') or '').upper().replace('TLS', 'TLSv')}{one.get('version')}" for one in spoken}
    assert enabled == MODERN
    ciphers = {one.get("cipher") or "" for one in told.iter("cipher") if one.get("status") in ("preferred", "accepted")}
    assert ciphers
    assert not {cipher for cipher in ciphers if not cipher.startswith(("TLS_", "ECDHE-"))}
    assert all(one.get("vulnerable", "0") == "0" for one in told.iter("heartbleed"))
    assert [one.get("supported") for one in told.iter("compression")] in ([], ["0"])
