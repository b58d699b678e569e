"""Everything that a fleet file can become. A further kind of configuration is one more line in `TARGETS`.

A target yields what it cannot do (``place.in.the.file: what to change``, one line each) before anything is rendered, and its
files by their path below the output folder. The command refuses all at once, then writes all at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.render import (
    alertmanager,
    aws,
    aws_refuse,
    documents,
    kubernetes,
    kubernetes_refuse,
    prometheus,
    refuse,
    systemd,
)
from deploy.sentence import Sentence
from monitor.fleet import BalancerKind, Fleet

ALL = "all"


@dataclass(frozen=True)
class Target:
    asked: Callable[[Fleet], bool]
    """Does the file ask for it, where nobody named it?"""
    refusals: Callable[[Fleet], Iterator[str]]
    files: Callable[[Fleet], dict[Path, str]]


def _balancer(kind: BalancerKind) -> Target:
    return Target(
        asked=lambda fleet: fleet.balancer.kind is kind,
        refusals=lambda fleet: refuse.refusals(documents.with_kind(fleet, kind)),
        files=lambda fleet: documents.documents(documents.with_kind(fleet, kind)),
    )


TARGETS: dict[str, Target] = {
    "nginx": _balancer(BalancerKind.nginx),
    "haproxy": _balancer(BalancerKind.haproxy),
    "prometheus": Target(lambda fleet: fleet.prometheus is not None, prometheus.refusals, prometheus.documents),
    "alertmanager": Target(lambda fleet: fleet.alertmanager is not None, alertmanager.refusals, alertmanager.documents),
    "systemd": Target(lambda fleet: fleet.systemd is not None, systemd.refusals, systemd.documents),
    "kubernetes": Target(
        asked=lambda fleet: fleet.kubernetes is not None, refusals=kubernetes_refuse.refusals, files=kubernetes.files
    ),
    "aws": Target(asked=lambda fleet: fleet.aws is not None, refusals=aws_refuse.refusals, files=aws.files),
}


def chosen(fleet: Fleet, only: Sequence[str] = ()) -> list[str]:
    """The targets to render: the named ones, every one there is for `all`, else those that the file asks for.

    Raises:
        Sentence: a name that is none, or a file that asks for nothing.
    """
    unknown = sorted(set(only) - {*TARGETS, ALL})
    if unknown:
        raise Sentence(f"--only: no such target: {', '.join(unknown)}; there are {', '.join(TARGETS)}, {ALL}", status=2)
    if ALL in only:
        return list(TARGETS)
    found = [name for name, target in TARGETS.items() if (name in only if only else target.asked(fleet))]
    if not found:
        raise Sentence("\n".join(refuse.nothing(fleet)), status=refuse.WRONG_FLEET)
    return found


def rendered(fleet: Fleet, only: Sequence[str] = ()) -> dict[Path, str]:
    """The text of every file of the chosen targets, by its path below the output folder.

    Raises:
        Sentence: what a target cannot do, one line per thing to change, with the nearest that it can.
    """
    targets = [TARGETS[name] for name in chosen(fleet, only)]
    refused = list(dict.fromkeys(line for target in targets for line in target.refusals(fleet)))
    if refused:
        raise Sentence("\n".join(refused), status=refuse.WRONG_FLEET)
    return {name: text for target in targets for name, text in target.files(fleet).items()}
