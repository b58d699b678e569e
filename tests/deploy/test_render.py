"""From a fleet file to the balancers' files: what they hold, what is refused, and that nothing is half-written."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.layout import ROOT
from deploy.local import balancers, temporary
from deploy.render import documents, folder, targets
from deploy.sentence import Sentence
from monitor.fleet_file import read
from tests.deploy.conftest import need
from tests.deploy.fleets import fleet, fleet_data

STRATEGIES = ("round_robin", "least_connections", "ip_hash")
KINDS = ("nginx", "haproxy")


def rendered(data: dict[str, Any]) -> str:
    (text,) = documents.documents(fleet(data)).values()
    return text


def checked_by_the_program(data: dict[str, Any], where: Path) -> None:
    kind = data["balancer"]["kind"]
    need(kind)
    where.mkdir(exist_ok=True)
    try:
        folder.write_all(where, documents.local_documents(fleet(data), balancers.place(kind, where)))
        balancers.check(kind, where)
    finally:
        temporary.forget(where)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_program_itself_accepts_every_strategy(kind: str, strategy: str, tmp_path: Path) -> None:
    checked_by_the_program(fleet_data(tmp_path, kind, strategy=strategy), tmp_path / "balancer")


@pytest.mark.parametrize(("kind", "strategy"), [("nginx", "least_connections"), ("nginx", "round_robin"), ("haproxy", "ip_hash")])
def test_the_program_itself_accepts_other_zones_as_backup(kind: str, strategy: str, tmp_path: Path) -> None:
    data = fleet_data(tmp_path, kind, strategy=strategy, zone="a")
    checked_by_the_program(data, tmp_path / "balancer")
    backups = [line for line in rendered(data).splitlines() if re.match(r"\s+server .* backup", line)]
    assert len(backups) == 1
    assert "7003" in backups[0]


@pytest.mark.parametrize("kind", KINDS)
def test_the_program_itself_accepts_a_dashboard_under_a_name_of_its_own(kind: str, tmp_path: Path) -> None:
    data = fleet_data(tmp_path, kind) | {"dashboard": {"url": "https://dashboard.example.com", "address": "127.0.0.1:8501"}}
    checked_by_the_program(data, tmp_path / "balancer")
    assert "dashboard.example.com" in rendered(data)
    assert "camera=(self)" in rendered(data)


@pytest.mark.parametrize("kind", KINDS)
def test_backends_without_tls_and_with_the_systems_roots_are_accepted_too(kind: str, tmp_path: Path) -> None:
    plain = fleet_data(tmp_path, kind)
    for row in plain["backends"]:
        row["url"] = row["url"].replace("https", "http")
    checked_by_the_program(plain, tmp_path / "plain")
    assert "proxy_ssl" not in rendered(plain)
    assert "verify required" not in rendered(plain)
    public = fleet_data(tmp_path, kind)
    for row in public["backends"]:
        del row["ca_file"]
    checked_by_the_program(public, tmp_path / "public")


def test_nginx_include_is_valid_inside_debians_own_configuration(tmp_path: Path) -> None:
    nginx = need("nginx")
    stock = Path("/etc/nginx/nginx.conf")
    if not stock.exists():
        pytest.skip("Debian's nginx.conf is not here: `make system`")
    include = tmp_path / "nginx-load-balancer.conf"
    include.write_text(rendered(fleet_data(tmp_path, "nginx")))
    text = stock.read_text().replace("include /etc/nginx/sites-enabled/*;", f"include {include};")
    assert str(include) in text
    whole = tmp_path / "nginx.conf"
    text = text.replace("/var/log/nginx", str(tmp_path))  # an ordinary user may not write there
    whole.write_text(re.sub(r"^pid .*;", f"pid {tmp_path}/nginx.pid;", text, flags=re.MULTILINE))
    done = subprocess.run([nginx, "-t", "-c", str(whole), "-e", "stderr"], capture_output=True, text=True, check=False)
    assert "syntax is ok" in done.stderr, done.stderr
    assert "duplicate" not in done.stderr


def test_nginx_says_what_the_measurements_ask_for(tmp_path: Path) -> None:
    text = rendered(fleet_data(tmp_path, "nginx"))
    assert "max_fails=3 fail_timeout=2s" in text
    assert re.search(r"least_conn;.*keepalive 32;", text, re.DOTALL), "keepalive belongs after the strategy"
    assert "proxy_ssl_verify on;" in text
    assert "proxy_ssl_name backend.face-auth.internal;" in text
    assert "ssl_protocols TLSv1.2 TLSv1.3;" in text
    assert "proxy_next_upstream error timeout non_idempotent;" in text
    assert "http_503" not in text
    size = int(re.search(r"client_max_body_size (\d+)m", text)[1])  # type: ignore[index]
    buffer = int(re.search(r"client_body_buffer_size (\d+)m", text)[1])  # type: ignore[index]
    assert buffer > size, "a body must never be spooled to a file"
    assert "proxy_max_temp_file_size 0;" in text


def test_haproxy_asks_ready_and_verifies_each_backends_own_name(tmp_path: Path) -> None:
    text = rendered(fleet_data(tmp_path, "haproxy"))
    assert "option httpchk" in text
    assert "uri /ready" in text
    assert "http-check expect status 200" in text
    for number in (1, 2, 3):
        line = re.search(rf"server b{number} .*", text)
        assert line
        assert "verify required" in line[0]
        assert f"verifyhost b{number}.face-auth.internal" in line[0]


def test_weights_are_carried_in_lowest_terms(tmp_path: Path) -> None:
    data = fleet_data(tmp_path, "nginx")
    for row, weight in zip(data["backends"], (50, 100, 100), strict=True):
        row["weight"] = weight
    assert re.findall(r"server 127\.0\.0\.1:\d+( weight=\d+)? max_fails", rendered(data)) == ["", " weight=2", " weight=2"]


def change(**balancer: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["balancer"].update(balancer)


def backend(number: int, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["backends"][number].update(fields)


REFUSED = [
    ("nginx", change(strategy="ip_hash", zone="a"), "nearest: strategy least_connections with zone"),
    ("nginx", change(zone="z"), "name one of a, b"),
    ("nginx", change(backend_server_name=None), "kind haproxy, which verifies each one's own"),
    ("nginx", backend(1, url="http://127.0.0.1:7002"), "nearest: https for all"),
    ("nginx", backend(1, ca_file="/other.pem"), "one file with all the CAs"),
    ("nginx", change(key_file=None), "the chain and its key"),
    ("nginx", change(server_name="a:return"), "not a host name"),
    ("nginx", change(access_log="/var/x\";root /"), "cannot carry a path"),
    ("nginx", backend(0, server_name="b1:verify"), "not a host name"),
    ("haproxy", change(cert_file=None), "chain and key together"),
    ("haproxy", change(key_file="/key.pem"), "nearest: `cat` chain and key"),
    ("none", change(), "choose nginx or haproxy"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "mistake", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
def test_what_a_balancer_cannot_do_is_refused_with_the_nearest_choice(
    kind: str, mistake: Callable[[dict[str, Any]], None], said: str, tmp_path: Path
) -> None:
    data = fleet_data(tmp_path, kind)
    mistake(data)
    with pytest.raises(Sentence) as refused:
        documents.documents(fleet(data))
    assert said in str(refused.value)
    assert refused.value.status == 2


def deploy_render(*arguments: object) -> subprocess.CompletedProcess[str]:
    python = ROOT / ".venv" / "bin" / "python"
    return subprocess.run(
        [python, "-m", "deploy", "render", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_the_command_writes_the_example_and_then_finds_no_drift(tmp_path: Path) -> None:
    example = ROOT / "deploy" / "fleet.example.yaml"
    out = tmp_path / "out"
    missing = deploy_render("--fleet", example, "--out", out, "--check")
    assert missing.returncode == 1
    assert not out.exists(), "--check writes nothing"
    written = deploy_render("--fleet", example, "--out", out, "--json")
    assert written.returncode == 0, written.stderr
    assert json.loads(written.stdout)["changed"][0] == "nginx/nginx-load-balancer.conf"
    text = (out / "nginx" / "nginx-load-balancer.conf").read_text()
    assert "server 10.0.1.10:8000" in text
    assert deploy_render("--fleet", example, "--out", out, "--check").returncode == 0
    (out / "nginx" / "nginx-load-balancer.conf").write_text(text + "# changed by hand\n")
    drifted = deploy_render("--fleet", example, "--out", out, "--check")
    assert drifted.returncode == 1
    assert "nginx-load-balancer.conf: differs" in drifted.stdout
    assert "\n-# changed by hand\n" in drifted.stdout


def test_the_committed_files_are_what_the_example_becomes() -> None:
    rendered = targets.rendered(read(ROOT / "deploy" / "fleet.example.yaml"), [targets.ALL])
    assert [str(name) for name in folder.drift(ROOT / "deploy", rendered)] == [], "these differ: run `make render` and commit"


def test_the_other_balancer_is_rendered_on_request_with_the_paths_that_are_usual_for_it(tmp_path: Path) -> None:
    data = fleet_data(tmp_path, "nginx")
    (text,) = targets.rendered(fleet(data), ["haproxy"]).values()
    assert 'crt "/etc/haproxy/certs/face_auth.pem"' in text
    with pytest.raises(Sentence, match="no such target: apache; there are nginx, haproxy"):
        targets.rendered(fleet(data), ["apache"])


def test_what_a_balancer_cannot_do_is_refused_with_its_line(tmp_path: Path) -> None:
    example = (ROOT / "deploy" / "fleet.example.yaml").read_text()
    file, out = tmp_path / "fleet.yaml", tmp_path / "out"
    file.write_text(example.replace("url: https://10.0.1.11:8000", "url: http://10.0.1.11:8000"))
    done = deploy_render("--fleet", file, "--out", out, "--only", "nginx")
    assert done.returncode == 2
    line = example.splitlines().index("backends:") + 1
    assert f"fleet.yaml:{line}: backends: nginx speaks either https or http" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("strategy: least_connections", "strategy: random", "fleet.yaml:8: balancer.strategy"),
        ("kind: nginx", "knd: nginx", "fleet.yaml:7: balancer.knd"),
        ("address: 10.0.1.11:8000", "address: 10.0.1.10:8000", "two backends have the same address"),
        ("fall: 3", "fall: never", "probes.fall"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_line_and_the_folder_stays_as_it_was(
    before: str, after: str, place: str, tmp_path: Path
) -> None:
    example = (ROOT / "deploy" / "fleet.example.yaml").read_text()
    file, out = tmp_path / "fleet.yaml", tmp_path / "out"
    file.write_text(example)
    deploy_render("--fleet", file, "--out", out)
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    changed = example.replace(before, after)
    assert changed != example
    file.write_text(changed)
    done = deploy_render("--fleet", file, "--out", out)
    assert done.returncode == 2
    assert place in done.stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept


def test_when_one_file_cannot_be_written_the_others_get_their_old_content_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a").write_text("old")
    (out / "c").mkdir()  # a file cannot take its place
    with pytest.raises(OSError, match="c"):
        folder.write_all(out, {Path("a"): "new", Path("new/b"): "b", Path("c"): "c"})
    assert (out / "a").read_text() == "old"
    assert sorted(path.name for path in out.iterdir()) == ["a", "c"]


def test_the_example_is_a_fleet_without_secrets_and_with_the_guides_addresses() -> None:
    data = yaml.safe_load((ROOT / "deploy" / "fleet.example.yaml").read_text())
    assert [row["address"] for row in data["backends"]] == ["10.0.1.10:8000", "10.0.1.11:8000", "10.0.1.12:8000"]
    assert fleet(data).balancer.server_name == "api.faceauth.example.com"
