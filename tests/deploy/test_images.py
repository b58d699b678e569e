"""What the images are made of, as far as it can be seen without building them; `make test-deploy` builds and runs them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import trustme
import yaml

from deploy.images.healthcheck import status
from deploy.images.sections import needed
from deploy.layout import ROOT
from tests.deploy.small_backend import SmallBackend

REQUIREMENTS = (ROOT / "requirements.txt").read_text("utf-8")
DOCKERFILE = (ROOT / "deploy" / "images" / "Dockerfile").read_text("utf-8")
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
LEARNING = ("insightface", "onnxruntime", "onnx", "faiss-cpu", "dlib-bin", "opencv-python", "scikit-image", "scipy")
OURS = ("backend1", "backend2", "backend3", "monitor", "dashboard")


def packages(*programs: str) -> set[str]:
    return {re.split(r"[=\[]", line)[0] for line in needed(REQUIREMENTS, programs)}


def test_each_program_gets_its_own_sections() -> None:
    assert {"pydantic", "httpx"} <= packages("monitor") & packages("dashboard") & packages("backend")
    assert not packages("dashboard") & set(LEARNING)
    assert not packages("monitor") & set(LEARNING)
    assert set(LEARNING) <= packages("backend")
    assert "streamlit" not in packages("backend") | packages("monitor")
    assert "pytest" not in packages("backend", "monitor", "dashboard", "deploy")


@pytest.mark.parametrize("program", ["monitor", "dashboard"])
def test_what_a_program_imports_its_sections_hold(program: str) -> None:
    """Every module of the image is imported with everything else hidden: nothing that it needs is left out."""
    allowed = json.dumps(sorted(packages(program)))
    code = f"""
import importlib.metadata, json, sys
allowed = set(json.loads('''{allowed}'''))
def wanted(name, seen):
    key = name.lower().replace("_", "-")
    if key in seen: return
    seen.add(key)
    try: requires = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError: return
    import re
    for one in requires:
        wanted(re.split(r"[ ;<>=!\\[(~]", one)[0], seen)
held = set()
for name in allowed: wanted(name, held)
import {program}.app
tops = importlib.metadata.packages_distributions()
used = {{d.lower().replace("_", "-") for m in list(sys.modules) for d in tops.get(m.split(".")[0], [])}}
print(json.dumps(sorted(used - held - {{"pip", "setuptools"}})))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_no_image_runs_as_root_or_follows_latest() -> None:
    for stage in ("monitor", "dashboard", "backend", "init"):
        body = DOCKERFILE.split(f" AS {stage}\n")[1].split("\nFROM ")[0]
        assert "\nUSER 10001:10001" in body, stage
    tags = re.findall(r"^FROM ([^ ]+:[^ ]+)", DOCKERFILE, re.MULTILINE) + [one["image"] for one in COMPOSE["services"].values()]
    assert tags
    assert not [tag for tag in tags if tag.endswith(":latest") or ":" not in tag]


def test_our_images_carry_the_projects_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    ours = {one["image"] for one in COMPOSE["services"].values() if one["image"].startswith("face-auth-")}
    assert len(ours) == 4
    assert {image.split(":")[1] for image in ours} == {version}


@pytest.mark.parametrize("service", [*OURS, "nginx", "haproxy", "prometheus", "alertmanager", "grafana"])
def test_services_are_read_only_unprivileged_and_published_on_loopback_alone(service: str) -> None:
    told = COMPOSE["services"][service]
    assert told["read_only"] is True
    assert told["cap_drop"] == ["ALL"]
    assert told["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in told.get("ports", []))
    assert told.get("user", "10001") != "0:0"


def test_nothing_has_to_be_prepared() -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    assert "${" not in text, "a variable would want a .env"
    assert "env_file" not in text
    mounts = [volume for one in COMPOSE["services"].values() for volume in one.get("volumes", [])]
    assert all(volume.split(":")[0] in COMPOSE["volumes"] for volume in mounts), "a folder of the host would want to be there"


def test_a_healthcheck_believes_only_a_verified_200(tmp_path: Path) -> None:
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    other.cert_pem.write_to_path(str(tmp_path / "other.pem"))
    leaf = ca.issue_cert("b1.internal")
    leaf.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    backend = SmallBackend("b1", tmp_path / "cert.pem", tmp_path / "key.pem")
    backend.start()
    try:
        url = f"https://127.0.0.1:{backend.port}/ready"
        assert status(url, str(tmp_path / "ca.pem"), "b1.internal") == 200
        for ca_file, name in (("other.pem", "b1.internal"), ("ca.pem", "b2.internal")):
            with pytest.raises(OSError, match=r"(?i)certificate"):
                status(url, str(tmp_path / ca_file), name)
    finally:
        backend.stop()


def test_the_boards_queries_are_taken_by_prometheus(tmp_path: Path) -> None:
    board = json.loads((ROOT / "deploy" / "grafana" / "face-auth.json").read_text("utf-8"))
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) >= 10
    rules = [{"record": f"board:query:{number}", "expr": query} for number, query in enumerate(queries)]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
