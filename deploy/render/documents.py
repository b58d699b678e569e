"""From a fleet to the text of its balancer's files: what `render` writes, and what `up` starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from deploy.render import refuse
from deploy.render.place import PACKAGED, Place
from deploy.render.view import view
from monitor.fleet import BalancerKind, Fleet

NGINX = "nginx-load-balancer.conf"
HAPROXY = "haproxy-load-balancer.cfg"
OWN_NGINX = "nginx.conf"

# Where Debian's packages and the guide keep them, for a balancer that is rendered beside the one that the file describes.
USUAL: dict[BalancerKind, dict[str, object]] = {
    BalancerKind.nginx: {
        "cert_file": Path("/etc/nginx/ssl/cert.pem"),
        "key_file": Path("/etc/nginx/ssl/key.pem"),
        "stats_address": "127.0.0.1:8080",
        "access_log": Path("/var/log/nginx/face_auth_access.log"),
        "error_log": Path("/var/log/nginx/face_auth_error.log"),
    },
    BalancerKind.haproxy: {
        "cert_file": Path("/etc/haproxy/certs/face_auth.pem"),
        "key_file": None,
        "stats_address": "127.0.0.1:8404",
        "access_log": Path("/var/log/haproxy.log"),
        "error_log": None,
    },
}


def with_kind(fleet: Fleet, kind: BalancerKind) -> Fleet:
    """The same fleet behind that balancer: as it is where the file describes this one, else with the usual paths of the other."""
    if fleet.balancer.kind is kind:
        return fleet
    return fleet.model_copy(update={"balancer": fleet.balancer.model_copy(update={"kind": kind, **USUAL[kind]})})


def documents(fleet: Fleet) -> dict[Path, str]:
    """Every file for servers that run Debian's packages, by its path below the output folder.

    Raises:
        Sentence: the balancer cannot do what the fleet asks for; names the nearest that it can.
    """
    name = {BalancerKind.nginx: NGINX, BalancerKind.haproxy: HAPROXY}
    refuse.check(fleet)
    kind = fleet.balancer.kind
    return {Path(kind) / name[kind]: _render(f"{name[kind]}.j2", fleet, PACKAGED)}


def local_documents(fleet: Fleet, place: Place) -> dict[Path, str]:
    """The files of a balancer that runs in a folder of its own. Raises as `documents`."""
    refuse.check(fleet)
    if fleet.balancer.kind is BalancerKind.haproxy:
        return {Path(HAPROXY): _render(f"{HAPROXY}.j2", fleet, place)}
    return {Path(name): _render(f"{name}.j2", fleet, place) for name in (NGINX, OWN_NGINX)}


def _render(template: str, fleet: Fleet, place: Place) -> str:
    return text(template, view(fleet, place))


def text(template: str, values: dict[str, Any]) -> str:
    """A template of ours with its values; one that it lacks is an error."""
    return _templates().get_template(template).render(values)


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(  # configuration files, not HTML
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, autoescape=False,  # noqa: S701
    )  # fmt: skip
    environment.filters["quoted"] = lambda value: f'"{value}"'
    environment.filters["milliseconds"] = lambda seconds: f"{round(seconds * 1000)}ms"
    return environment
