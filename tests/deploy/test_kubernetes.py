"""From a fleet file to Kubernetes: built by the real kubectl, judged by the kinds' own schemas, and by what the fleet needs.

There is no cluster here: what a server would refuse is asked of the schemas; that the programs run with these very settings is
tested in `test_kubernetes_programs`.
"""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from backend.settings import Settings as BackendSettings
from dashboard.settings import Settings as DashboardSettings
from deploy.layout import ROOT
from deploy.render import folder, targets
from deploy.sentence import Sentence
from monitor import fleet_file
from monitor.settings import Settings as MonitorSettings
from tests.deploy.cluster import COMMITTED, End, Object, built, containers, end, of_kind, passes, pods, references, text
from tests.deploy.conftest import tool
from tests.deploy.fleets import fleet
from tests.deploy.test_render import deploy_render
from tests.deploy.tools import install

GATEWAY, LEGACY, MIGRATE = "overlays/gateway", "overlays/ingress-legacy", "migrate"
WHOLE = (GATEWAY, LEGACY, MIGRATE)
OVERLAYS = (GATEWAY, LEGACY)
SETTINGS = {"BACKEND_": BackendSettings, "MONITOR_": MonitorSettings, "DASHBOARD_": DashboardSettings}
OTHERS = ("gateway.networking.k8s.io", "cert-manager.io", "monitoring.coreos.com")
PACKAGES = dict(zip(OTHERS, ("gateway-api", "cert-manager", "prometheus-operator"), strict=True))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

# What checkov asks for and is not done, with the reason.
NOT_DONE = {
    "CKV_K8S_11": "no limit of CPU: it would throttle bursts of inference; the requests share the node",
    "CKV_K8S_43": "a digest is known only where the image was pushed: an overlay of the site's own sets it",
    "CKV_K8S_15": "a tag is a version and never moved, so the image that is there is the right one",
    "CKV_K8S_35": "the alerts' URLs are variables because fleet.yaml names them as env:NAME",
}


def others(*names: str) -> list[Object]:
    """The objects whose kinds are not Kubernetes' own."""
    return [one for name in names for one in built(name) if one["apiVersion"].partition("/")[0] in OTHERS]


def with_monitors(tmp_path: Path) -> list[Object]:
    """The component is no overlay: it is built by one that names it, as README.md says."""
    own = ROOT / "deploy" / "kubernetes"
    site = tmp_path / "site"
    site.mkdir(exist_ok=True)
    up = "/".join([".."] * len(site.relative_to("/").parts)) + str(own)
    (site / "kustomization.yaml").write_text(
        f"resources: [{up}/overlays/gateway]\ncomponents: [{up}/components/prometheus-operator]\n"
    )
    return [one for one in built("site", tmp_path) if one["apiVersion"].startswith("monitoring.coreos.com/")]


# --- schemas -----------------------------------------------------------------------------------------------------------------


def validated(documents: str, where: Path) -> subprocess.CompletedProcess[str]:
    file = where / "objects.yaml"
    file.write_text(documents)
    command = [tool(install.KUBERNETES, "kubernetes-validate"), "--strict", "--kubernetes-version", "1.34", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("name", WHOLE)
def test_the_servers_own_schemas_accept_every_object(name: str, tmp_path: Path) -> None:
    done = validated(text(name), tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    unknown = set(re.findall(r"Couldn't find schema for kind \S+ with api version ([a-z0-9.-]+)/", said))
    assert unknown <= set(OTHERS), "only other projects' kinds, which the next test judges"
    assert said.count("passed for resource") == sum(one["apiVersion"].partition("/")[0] not in OTHERS for one in built(name))


def test_the_servers_own_schemas_would_notice_a_field_that_is_none(tmp_path: Path) -> None:
    done = validated(text(GATEWAY).replace("terminationGracePeriodSeconds", "terminationGraceSeconds"), tmp_path)
    assert done.returncode != 0
    assert "terminationGraceSeconds" in done.stdout + done.stderr


def typed(objects: list[Object], name: str) -> subprocess.CompletedProcess[str]:
    """TypeScript's view: fields that are none, words that no enumeration has."""
    lines = []
    for number, one in enumerate(objects):
        group, _, version = one["apiVersion"].partition("/")
        module = f"@kubernetes-models/{PACKAGES[group]}/{group}/{version}/{one['kind']}"
        lines.append(f'import type {{ I{one["kind"]} as T{number} }} from "{module}";')
        lines.append(f"export const d{number}: T{number} = {json.dumps(one)};")
    (install.MODELS / f"{name}.ts").write_text("\n".join(lines))
    options = [
        "--noEmit",
        "--strict",
        "--skipLibCheck",
        "--module",
        "nodenext",
        "--moduleResolution",
        "nodenext",
        "--target",
        "es2022",
    ]
    command = [tool(install.KUBERNETES, "node"), "node_modules/typescript/bin/tsc", *options, f"{name}.ts"]
    return subprocess.run(command, cwd=install.MODELS, capture_output=True, text=True, check=False, timeout=120)


def modelled(objects: list[Object]) -> subprocess.CompletedProcess[str]:
    """The schemas' view: patterns, limits, what is required."""
    command = [tool(install.KUBERNETES, "node"), "models.mjs"]
    given = json.dumps(objects)
    return subprocess.run(command, cwd=install.MODELS, input=given, capture_output=True, text=True, check=False, timeout=120)


def test_the_schemas_of_gateway_api_cert_manager_and_the_prometheus_operator_accept_theirs(tmp_path: Path) -> None:
    tool(install.KUBERNETES, "node")
    objects = [*others(GATEWAY, LEGACY), *with_monitors(tmp_path)]
    kinds = {one["kind"] for one in objects}
    assert {"Gateway", "HTTPRoute", "BackendTLSPolicy", "Certificate", "Issuer", "ServiceMonitor"} <= kinds
    for done in (typed(objects, "right"), modelled(objects)):
        assert done.returncode == 0, done.stdout + done.stderr


def test_those_schemas_would_notice_a_field_that_is_none_and_a_value_that_is_wrong() -> None:
    tool(install.KUBERNETES, "node")
    wrong = json.loads(json.dumps(others(GATEWAY)).replace('"backendRefs"', '"backendReffs"'))
    assert "backendReffs" in typed(wrong, "wrong").stdout
    for one in wrong:
        if one["kind"] == "Gateway":
            one["spec"]["listeners"][0]["port"] = 70_000
    assert "Gateway/face-auth" in modelled(wrong).stdout


def test_checkov_finds_nothing_but_what_is_not_done_for_a_reason(tmp_path: Path) -> None:
    file = tmp_path / "objects.yaml"
    file.write_text("---\n".join(text(name) for name in WHOLE))
    command = [
        tool(install.KUBERNETES, "checkov"),
        "--file",
        str(file),
        "--framework",
        "kubernetes",
        "--skip-download",
        "--quiet",
        "--compact",
    ]
    done = subprocess.run([*command, "--output", "json"], capture_output=True, text=True, check=False, timeout=240)
    found = json.loads(done.stdout)
    assert found["summary"]["passed"] > 200
    failed = {(one["check_id"], one["resource"]) for one in found["results"]["failed_checks"]}
    assert {check for check, _ in failed} <= set(NOT_DONE), sorted(failed)
    assert {check for check, _ in failed} == set(NOT_DONE), "a reason that is no longer needed goes"


# --- names -------------------------------------------------------------------------------------------------------------------


def test_the_guides_names_are_the_defaults() -> None:
    objects = built(LEGACY)
    assert "face-auth-api" in of_kind(objects, "Deployment")
    service = of_kind(objects, "Service")["face-auth-service"]
    assert service["spec"]["type"] == "ClusterIP"
    assert service["spec"]["selector"] == {"app": "face-auth-api"}
    ingress = of_kind(objects, "Ingress")["face-auth-ingress"]
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"hosts": ["api.faceauth.example.com"], "secretName": "face-auth-tls"}]
    assert ingress["metadata"]["annotations"]["cert-manager.io/cluster-issuer"] == "letsencrypt-prod"
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] == "api.faceauth.example.com"
    assert {path["backend"]["service"]["name"] for path in rule["http"]["paths"]} == {"face-auth-service"}


def test_no_ingress_rewrites_the_url() -> None:
    assert "rewrite-target" not in text(LEGACY)


@pytest.mark.parametrize("name", WHOLE)
def test_every_image_is_of_this_version_and_none_is_latest(name: str) -> None:
    images = {one["image"] for pod in pods(built(name)).values() for one in containers(pod)}
    assert images
    assert {image.rpartition(":")[2] for image in images} == {VERSION}


# --- selectors, ports, references --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_selector_chooses_the_pods_that_it_means(name: str) -> None:
    objects = built(name)
    labels = {program: pod["metadata"]["labels"] for program, pod in pods(objects).items()}
    for program, deployment in of_kind(objects, "Deployment").items():
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels[program].items()
        assert [one for one in labels if deployment["spec"]["selector"]["matchLabels"].items() <= labels[one].items()] == [
            program
        ]
    wanted = {service: one["spec"]["selector"] for service, one in of_kind(objects, "Service").items()}
    wanted |= {f"pdb {n}": one["spec"]["selector"]["matchLabels"] for n, one in of_kind(objects, "PodDisruptionBudget").items()}
    for who, selector in wanted.items():
        assert len([one for one in labels.values() if selector.items() <= one.items()]) == 1, who
    for scaler in of_kind(objects, "HorizontalPodAutoscaler").values():
        assert scaler["spec"]["scaleTargetRef"]["name"] in of_kind(objects, "Deployment")


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_port_that_is_named_exists(name: str) -> None:
    objects = built(name)
    services = of_kind(objects, "Service")
    for service in services.values():
        (pod,) = [
            one for one in pods(objects).values() if service["spec"]["selector"].items() <= one["metadata"]["labels"].items()
        ]
        ports = {port["name"]: port["containerPort"] for one in containers(pod) for port in one.get("ports", [])}
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports
            if service["spec"].get("clusterIP") == "None":
                assert port["port"] == ports[port["targetPort"]], "a headless Service translates no port"
    for route in of_kind(objects, "HTTPRoute").values():
        for target in [one for rule in route["spec"]["rules"] for one in rule.get("backendRefs", [])]:
            assert target["port"] in [port["port"] for port in services[target["name"]]["spec"]["ports"]]
    for ingress in of_kind(objects, "Ingress").values():
        for path in [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]:
            target = path["backend"]["service"]
            assert target["port"]["name"] in [port["name"] for port in services[target["name"]]["spec"]["ports"]]


def test_the_gateway_redirects_port_80_and_opens_what_the_balancers_open() -> None:
    objects = built(GATEWAY)
    listeners = {one["name"]: one for one in of_kind(objects, "Gateway")["face-auth"]["spec"]["listeners"]}
    routes = of_kind(objects, "HTTPRoute")
    (rule,) = routes["face-auth-redirect"]["spec"]["rules"]
    assert rule["filters"][0]["requestRedirect"] == {"scheme": "https", "statusCode": 301}
    redirected = {one["sectionName"] for one in routes["face-auth-redirect"]["spec"]["parentRefs"]}
    assert redirected == {name for name, one in listeners.items() if one["port"] == 80}
    (api,) = routes["face-auth-api"]["spec"]["rules"]
    assert {one["path"]["value"] for one in api["matches"]} == {"/v1", "/health", "/docs", "/docs/assets", "/openapi.json"}
    assert {one["sectionName"] for one in routes["face-auth-api"]["spec"]["parentRefs"]} == {"https-api"}
    assert all(one["tls"]["certificateRefs"] == [{"name": "face-auth-tls"}] for one in listeners.values() if one["port"] == 443)


@pytest.mark.parametrize("name", WHOLE)
def test_what_a_pod_needs_is_made_here_or_stands_in_the_readme_as_to_be_made(name: str) -> None:
    objects = built(name)
    made = {(one["kind"], one["metadata"]["name"]) for one in objects}
    made |= {("Secret", one["spec"]["secretName"]) for one in of_kind(objects, "Certificate").values()}
    needed = {reference for pod in pods(objects).values() for reference in references(pod)}
    readme = (COMMITTED / "README.md").read_text()
    for kind, wanted in needed - made:
        assert re.search(rf"{kind}[^\n]*`{wanted}`", readme), f"{kind} {wanted} is made by nobody"
    assert ("Secret", "face-auth-backend") in needed


@pytest.mark.parametrize("name", WHOLE)
def test_no_secret_is_in_the_repository(name: str) -> None:
    assert "Secret" not in {one["kind"] for one in built(name)}


@pytest.mark.parametrize("name", WHOLE)
def test_every_variable_is_a_setting_of_its_program(name: str) -> None:
    objects = built(name)
    shared = set(of_kind(objects, "ConfigMap")["face-auth-settings"]["data"])
    for pod in pods(objects).values():
        for one in containers(pod):
            given = {variable["name"] for variable in one.get("env", [])}
            given |= shared if any("configMapRef" in source for source in one.get("envFrom", [])) else set()
            for prefix, settings in SETTINGS.items():
                fields = {f"{prefix}{field.upper()}" for field in settings.model_fields}
                ours = {variable for variable in given if variable.startswith(prefix)}
                assert ours <= fields | {f"{field}_FILE" for field in fields}


# --- what must hold while pods come and go -----------------------------------------------------------------------------------


def backend_pod() -> Object:
    return pods(built(GATEWAY))["face-auth-api"]


def test_a_stopping_backend_has_time_for_everything_that_it_does() -> None:
    settings = of_kind(built(GATEWAY), "ConfigMap")["face-auth-settings"]["data"]
    spec = backend_pod()["spec"]
    (container,) = spec["containers"]
    pre_stop = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain, graceful = float(settings["BACKEND_DRAIN_S"]), float(settings["BACKEND_GRACEFUL_TIMEOUT_S"])
    assert 5 <= pre_stop <= 15, "until every proxy has heard that the pod goes"
    assert pre_stop + drain + graceful < spec["terminationGracePeriodSeconds"]
    assert drain == BackendSettings.model_fields["drain_s"].default
    assert graceful == BackendSettings.model_fields["graceful_timeout_s"].default


def test_a_starting_backend_has_longer_than_was_ever_measured() -> None:
    (container,) = backend_pod()["spec"]["containers"]
    probe = container["startupProbe"]
    budget = probe["periodSeconds"] * probe["failureThreshold"]
    measured = [
        one["value"] for one in json.loads((ROOT / "docs" / "benchmarks.json").read_text()) if one["name"].startswith("start of")
    ]
    assert measured
    assert budget >= 5 * max(measured), "on slower machines, and with a larger gallery"
    progress = of_kind(built(GATEWAY), "Deployment")["face-auth-api"]["spec"]["progressDeadlineSeconds"]
    assert progress > budget


def test_a_roll_takes_nobody_out_before_somebody_else_is_in() -> None:
    deployments = of_kind(built(GATEWAY), "Deployment")
    for name in ("face-auth-api", "face-auth-dashboard"):
        assert deployments[name]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert deployments["face-auth-monitor"]["spec"]["strategy"] == {"type": "Recreate"}, "two would tell everything twice"
    assert "replicas" not in deployments["face-auth-api"]["spec"], "the autoscaler says how many"
    scaler = of_kind(built(GATEWAY), "HorizontalPodAutoscaler")["face-auth-api"]
    assert scaler["apiVersion"] == "autoscaling/v2"
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (3, 10)
    budget = of_kind(built(GATEWAY), "PodDisruptionBudget")["face-auth-api"]
    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_the_backends_probes_ask_what_they_are_for() -> None:
    (container,) = backend_pod()["spec"]["containers"]
    paths = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/live", "liveness": "/live", "readiness": "/ready"}
    keys = [one["topologyKey"] for one in backend_pod()["spec"]["topologySpreadConstraints"]]
    assert keys == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]


@pytest.mark.parametrize("name", WHOLE)
def test_every_pod_is_restricted(name: str) -> None:
    namespace = of_kind(built(name), "Namespace")["face-auth"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for pod in pods(built(name)).values():
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in containers(pod):
            context = one["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert one["resources"]["requests"].keys() == {"cpu", "memory"}
            assert one["resources"]["limits"]["memory"]


# --- who may talk to whom ----------------------------------------------------------------------------------------------------

DNS = End((("k8s-app", "kube-dns"),), "kube-system")
PROMETHEUS = End((), "monitoring")
STRANGER = End((("app", "stranger"),), "other")
NEIGHBOUR = End((("app", "neighbour"),))
DATABASE = End(address="10.20.30.40")
METADATA = End(address="169.254.169.254")
WORLD = End(address="203.0.113.9")
PROXIES = {GATEWAY: End((), "nginx-gateway"), LEGACY: End((), "ingress-nginx")}


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_policies_let_pass_what_the_fleet_needs(name: str) -> None:
    objects = built(name)
    backend, monitor, dashboard = (end(objects, f"face-auth-{one}") for one in ("api", "monitor", "dashboard"))
    proxy = PROXIES[name]
    for sender, receiver, port in (
        (proxy, backend, 8000),
        (proxy, dashboard, 8501),
        (dashboard, backend, 8000),
        (dashboard, monitor, 8600),
        (monitor, backend, 8000),
        (PROMETHEUS, backend, 8000),
        (PROMETHEUS, monitor, 8600),
        (backend, DATABASE, 5432),
        (monitor, WORLD, 443),
    ):
        assert passes(objects, sender, receiver, port), (sender, receiver, port)
    for sender in (backend, monitor, dashboard):
        assert passes(objects, sender, DNS, 53, "UDP")


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_policies_let_pass_nothing_else(name: str) -> None:
    objects = built(name)
    backend, monitor, dashboard = (end(objects, f"face-auth-{one}") for one in ("api", "monitor", "dashboard"))
    for sender, receiver, port in (
        (STRANGER, backend, 8000),
        (NEIGHBOUR, backend, 8000),
        (NEIGHBOUR, DATABASE, 5432),
        (WORLD, backend, 8000),
        (PROXIES[name], monitor, 8600),
        (PROXIES[name], backend, 22),
        (backend, monitor, 8600),
        (backend, WORLD, 443),
        (backend, METADATA, 443),
        (monitor, METADATA, 443),
        (monitor, DATABASE, 5432),
        (dashboard, DATABASE, 5432),
        (dashboard, WORLD, 443),
    ):
        assert not passes(objects, sender, receiver, port), (sender, receiver, port)


def test_the_migration_reaches_the_database_and_nothing_else() -> None:
    objects = built(MIGRATE)
    (migration,) = [End(tuple(pod["metadata"]["labels"].items())) for pod in pods(objects).values()]
    assert passes(objects, migration, DATABASE, 5432)
    assert passes(objects, migration, DNS, 53, "UDP")
    assert not passes(objects, migration, WORLD, 443)


# --- from other fleet files --------------------------------------------------------------------------------------------------


def test_the_monitors_fleet_file_is_right_and_names_the_pods_service() -> None:
    objects = built(GATEWAY)
    said = of_kind(objects, "ConfigMap")["face-auth-fleet"]["data"]["fleet.yaml"]
    found = fleet_file.parse(said.encode(), path=Path("/etc/face-auth/fleet/fleet.yaml"))
    (backend,) = found.backends
    service = of_kind(objects, "Service")["face-auth-pods"]
    assert backend.address == "face-auth-pods.face-auth.svc:8000"
    assert service["spec"]["publishNotReadyAddresses"] is True
    certificate = of_kind(objects, "Certificate")["face-auth-backend-tls"]
    assert certificate["spec"]["dnsNames"] == [backend.server_name]
    assert [one.name for one in found.alerts.routes] == ["operators"]
    assert "env:" in found.alerts.routes[0].url


def cluster_fleet() -> dict[str, Any]:
    return {
        "balancer": {"kind": "none"},
        "backends": [
            {
                "name": f"b{n}",
                "url": f"https://10.0.1.{n}:8000",
                "address": f"10.0.1.{n}:8000",
                "server_name": f"b{n}.example.com",
            }
            for n in (1, 2, 3)
        ],
        "dashboard": {"url": "https://dashboard.example.com", "address": "10.0.1.9:8501"},
        "probes": {},
        "alerts": {"routes": []},
        "kubernetes": {},
    }


def rendered(data: dict[str, Any], where: Path, name: str) -> tuple[Object, ...]:
    folder.write_all(where, targets.rendered(fleet(data)))
    return built(name, where / "kubernetes")


def test_other_names_zones_and_sessions_are_carried_through(tmp_path: Path) -> None:
    data = cluster_fleet()
    data["balancer"] |= {"strategy": "ip_hash", "zone": "a", "server_name": "faces.example.org"}
    data["kubernetes"] = {
        "namespace": "faces", "deployment": "faces-api", "service": "faces", "ingress": "faces-in", "tls_name": "faces-tls",
        "images": "registry.example.org:5000/a/b", "version": "2.1.0-rc.1", "pre_stop_s": 15,
        "database": {"cidr": "192.0.2.7/32", "port": 6432},
    }  # fmt: skip
    objects = rendered(data, tmp_path, LEGACY)
    assert {one["metadata"].get("namespace", "faces") for one in objects} == {"faces"}
    service = of_kind(objects, "Service")["faces"]
    assert service["spec"]["sessionAffinity"] == "ClientIP"
    assert service["spec"]["trafficDistribution"] == "PreferClose"
    pod = pods(objects)["faces-api"]
    assert pod["spec"]["containers"][0]["image"] == "registry.example.org:5000/a/b/face-auth-api:2.1.0-rc.1"
    assert pod["spec"]["terminationGracePeriodSeconds"] > 15 + 3 + 20
    assert of_kind(objects, "Ingress")["faces-in"]["spec"]["tls"] == [{"hosts": ["faces.example.org"], "secretName": "faces-tls"}]
    assert validated(text(LEGACY, tmp_path / "kubernetes"), tmp_path).returncode == 0
    (job,) = of_kind(built(MIGRATE, tmp_path / "kubernetes"), "Job")
    assert job == "face-auth-migrate-2-1-0-rc-1"


def test_without_a_dashboards_address_nothing_leads_to_it(tmp_path: Path) -> None:
    data = cluster_fleet()
    del data["dashboard"]
    objects = rendered(data, tmp_path, GATEWAY)
    assert sorted(of_kind(objects, "HTTPRoute")) == ["face-auth-api", "face-auth-redirect"]
    assert len(of_kind(objects, "Gateway")["face-auth"]["spec"]["listeners"]) == 2


def change(part: str, **fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data[part].update(fields)


def set_to(part: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data.update({part: value})


REFUSED = [
    (change("balancer", server_name="10.0.0.1"), "balancer.server_name: a route needs a DNS name"),
    (change("balancer", server_name="localhost"), "balancer.server_name: a route needs a DNS name"),
    (change("dashboard", url="http://dashboard.example.com"), "dashboard.url: in a cluster it is published as https://"),
    (change("dashboard", url="https://api.faceauth.example.com"), "dashboard.url: it needs a host name of its own"),
    (lambda data: data["backends"][0].update(weight=50), "backends: the pods of a Deployment are alike"),
    (lambda data: data["backends"][0].update(region="x"), "backends: a cluster stands in one region"),
    (change("alerts", routes=[{"name": "a", "url": "file:/x"}]), "alerts.routes.0.url: a pod has no such file"),
    (set_to("certificates", {"watch": [{"name": "a", "file": "/a.pem"}]}), "certificates.watch.0: a pod has no such file"),
    (set_to("synthetic", {"genuine": ["a", "b"], "impostor": ["a", "c"]}), "synthetic: its photographs and its key"),
    (change("kubernetes", deployment="face-auth-monitor"), "kubernetes.deployment: face-auth-monitor is the name"),
    (change("kubernetes", tls_name="face-auth-ca"), "kubernetes.tls_name: face-auth-ca holds another certificate"),
    (change("probes", start_budget_s=60), "probes.start_budget_s: the monitor would call a pod degraded"),
]  # fmt: skip


@pytest.mark.parametrize(("mistake", "said"), REFUSED, ids=[f"{n} {said}" for n, (_, said) in enumerate(REFUSED)])
def test_what_a_cluster_cannot_do_is_refused_with_the_nearest_choice(
    mistake: Callable[[dict[str, Any]], None], said: str
) -> None:
    data = cluster_fleet()
    targets.rendered(fleet(data))
    mistake(data)
    with pytest.raises(Sentence) as refused:
        targets.rendered(fleet(data))
    assert said in str(refused.value)
    assert refused.value.status == 2


EXAMPLE = (ROOT / "deploy" / "fleet.example.yaml").read_text()
MISTAKES = [
    ("namespace: face-auth", "namespace: Face_Auth", "kubernetes.namespace"),
    ("images: registry.example.com/face-auth", "images: registry.example.com/face-auth:latest", "kubernetes.images"),
    ("gateway_class: nginx", "version: latest", "kubernetes: version: `latest` is no version"),
    ("{least: 3, most: 10}", "{least: 3, most: 2}", "kubernetes.replicas: most must not be smaller"),
    ("{least: 3, most: 10}", "{least: 1, most: 10}", "kubernetes.replicas.least"),
    ("gateway_class: nginx", "resources: {memory: 2 gigabytes}", "kubernetes.resources.memory"),
    ("gateway_class: nginx", "database: {cidr: db.example.com}", "kubernetes.database.cidr"),
    ("gateway_class: nginx", "gatewayclass: nginx", "kubernetes.gatewayclass"),
    ("gateway_class: nginx", "pre_stop_s: 0", "kubernetes.pre_stop_s"),
    ("gateway_class: nginx", "start_budget_s: 300", "probes.start_budget_s"),
    ("gateway_class: nginx", "service: face-auth-pods", "kubernetes.service"),
    ("region: eu-west-1\n  # vpc", "region: Ireland\n  # vpc", "aws.region"),
    ("  # vpc: vpc-0123456789abcdef0", "  vpc: vpc-xxxxx", "aws.vpc"),
    ("deregistration_delay_s: 30", "deregistration_delay_s: 300", "aws.deregistration_delay_s"),
    ("deregistration_delay_s: 30", "slow_start_s: 60", "aws.slow_start_s"),
    ("deregistration_delay_s: 30", "subnets: [subnet-0123456789abcdef0]", "aws.subnets"),
    ("strategy: least_connections", "strategy: ip_hash", "balancer.strategy"),
    ("zone: c", "zone: c\n    weight: 50", "backends"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "place"), MISTAKES, ids=[f"{n} {place}" for n, (_, _, place) in enumerate(MISTAKES)])
def test_a_mistake_is_named_with_its_line_and_the_folder_stays_as_it_was(
    before: str, after: str, place: str, tmp_path: Path
) -> None:
    file, out = tmp_path / "fleet.yaml", tmp_path / "out"
    folder.write_all(out, targets.rendered(fleet_file.read(ROOT / "deploy" / "fleet.example.yaml")))
    kept = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert kept
    assert EXAMPLE.count(before) == 1, before
    file.write_text(EXAMPLE.replace(before, after))
    done = deploy_render("--fleet", file, "--out", out)
    assert done.returncode == 2
    assert re.search(rf"fleet\.yaml:[1-9]\d*: {re.escape(place)}", done.stderr), done.stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == kept
