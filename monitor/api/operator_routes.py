"""What operators have the monitor do: diagnose a target, take a backend out of service and back. No logic of its own."""

from __future__ import annotations

from fastapi import APIRouter, Depends, status

from monitor import wire
from monitor.addresses import AddressRefused
from monitor.api.problems import (
    BackendNotFound,
    DistributionCheckNotFound,
    DistributionCheckUnderWay,
    DrainImpossible,
    DrainRefused,
    NoBalancerToCheck,
    TargetNotFound,
    TargetRefused,
)
from monitor.api.roles import Operator
from monitor.api.routes import Parts, reader
from monitor.control import CannotTell, TooFewLeft
from monitor.diagnosis.subjects import NoSuchTarget, in_fleet, of_url
from monitor.distribution_check.runs import CheckUnderWay, NoBalancer

operator_routes = APIRouter(prefix="/v1", dependencies=[Depends(reader)])


@operator_routes.post("/diagnoses")
async def diagnose(asked: wire.DiagnosisRequest, monitor: Parts, actor: Operator) -> wire.Diagnosis:
    """Try one target step by step, from here, now. It takes as long as the target makes it: at most some 30 seconds."""
    described = monitor.watch.fleet
    try:
        if asked.target is not None:
            subject = in_fleet(asked.target, described)
        else:
            subject = of_url(asked.url or "", server_name=asked.server_name, described=described)
    except NoSuchTarget as error:
        raise TargetNotFound(str(error)) from None
    except AddressRefused as error:
        raise TargetRefused(str(error)) from None
    except ValueError as error:
        raise TargetRefused(f"url: {error}") from None
    found = await monitor.diagnose(subject)
    outcome = "passed" if found.passed else "failed"
    await monitor.alerting.note("diagnose", asked.target or found.address, actor, outcome=outcome)
    return found


@operator_routes.post("/backends/{name}/drain")
async def drain(name: str, monitor: Parts, actor: Operator, asked: wire.DrainRequest | None = None) -> wire.Drained:
    """Take it out of service: it says not ready and goes on serving. Refused where too few would be left."""
    if name not in monitor.watch.backends:
        raise BackendNotFound(f"No backend {name[:80]!r} in the fleet file")
    try:
        drained = await monitor.control.drain(name, by=actor.id, accept_left=asked.accept_left if asked else None)
    except TooFewLeft as error:
        await monitor.alerting.note("drain", name, actor, outcome="refused")
        raise DrainRefused(str(error)) from None
    except CannotTell as error:
        await monitor.alerting.note("drain", name, actor, outcome="not possible")
        raise DrainImpossible(str(error)) from None
    await monitor.alerting.note("drain", name, actor, outcome="told" if drained.told else "to be told")
    return drained


@operator_routes.post("/backends/{name}/return")
async def put_back(name: str, monitor: Parts, actor: Operator) -> wire.Drained:
    """Let it serve again: it is told so. `told` and `next` say where it was not, and what to do then."""
    if name not in monitor.watch.backends:
        raise BackendNotFound(f"No backend {name[:80]!r} in the fleet file")
    returned = await monitor.control.put_back(name, by=actor.id)
    await monitor.alerting.note("return", name, actor, outcome="told" if returned.told else "not told")
    return returned


@operator_routes.post("/distribution-checks", status_code=status.HTTP_201_CREATED)
async def check_distribution(
    monitor: Parts, actor: Operator, asked: wire.DistributionCheckRequest | None = None
) -> wire.DistributionCheck:
    """Send requests through the balancer and count who serves them; one check at a time. Read how it goes with GET."""
    wanted = asked or wire.DistributionCheckRequest()
    try:
        begun = monitor.distribution_checks.start(wanted.requests, monitor.watch.fleet)
    except CheckUnderWay:
        raise DistributionCheckUnderWay from None
    except NoBalancer:
        raise NoBalancerToCheck from None
    await monitor.alerting.note("verify_distribution", "balancer", actor, outcome=f"{wanted.requests} requests")
    return begun


@operator_routes.get("/distribution-checks")
async def distribution_checks(monitor: Parts) -> wire.Page[wire.DistributionCheck]:
    """The last twenty, newest first."""
    found = monitor.distribution_checks.list()
    return wire.Page(items=found, total=len(found))


@operator_routes.get("/distribution-checks/{check_id}")
async def distribution_check(check_id: str, monitor: Parts) -> wire.DistributionCheck:
    """How far it came; at its end who served how much, and what to think of it."""
    found = monitor.distribution_checks.get(check_id)
    if found is None:
        raise DistributionCheckNotFound
    return found


@operator_routes.get("/synthetic")
async def synthetic(monitor: Parts) -> wire.Page[wire.SyntheticResult]:
    """The last verification of each known pair, through each backend and the balancer."""
    found = monitor.synthetic.results()
    return wire.Page(items=found, total=len(found))
