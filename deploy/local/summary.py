"""What `up` answers when all is up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Summary:
    backends_up: int
    open_cases: int
    cases_before_demo: int
    demo_enrolled: int
    engine: str
    balancer: str
    install_s: float
    start_s: float
    urls: dict[str, Any]
    access_file: str
    run_dir: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def for_people(summary: Summary, access: dict[str, Any]) -> str:
    """URLs and sign-ins, as `make run` prints them."""
    lines = [
        f"{summary.backends_up} backends are up, {summary.open_cases} duplicates wait for review "
        f"(installed in {summary.install_s:.0f} s, started in {summary.start_s:.0f} s).",
        "",
        f"  Dashboard   {access['dashboard']}",
    ]
    for role, account in access["sign_ins"].items():
        lines.append(f"              as {role:11} name {account['name']:11} password {account['password']}")
    lines.append(f"  API         {access['balancer'] or ', '.join(access['backends'].values())}")
    lines.append(f"  Monitor     {access['monitor']}")
    lines.append(f"  API keys    {summary.access_file} (CA: {access['ca']})")
    if summary.balancer == "none":
        lines.append("  No balancer stands in front: `make system` (as root) installs nginx and HAProxy.")
    if summary.engine == "offline":
        lines.append("  The offline engine is for trying out; see the README for a production one.")
    return "\n".join(lines)
