"""What operators have the monitor do: diagnose a target, take a backend out of service and back. No logic of its own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from monitor import wire
from monitor.addresses import AddressRefused
from monitor.api.identity import Caller
from monitor.api.problems import BackendNotFound, DrainImpossible, DrainRefused, Forbidden, TargetNotFound, TargetRefused
from monitor.api.routes import Parts, reader
from monitor.control import CannotTell, TooFewLeft
from monitor.diagnosis.subjects import NoSuchTarget, in_fleet, of_url
from monitor.store.operators import Actor

OPERATORS = frozenset({"operator", "admin"})

operator_routes = APIRouter(prefix="/v1")


def operator(request: Request, monitor: Parts, caller: Annotated[Caller, Depends(reader)]) -> Caller:
    """People with the role, keys with the scope; where the API is open to this machine, every program on it, but no web page."""
    if monitor.doorkeeper.open_to_all and "Origin" in request.headers:
        raise Forbidden("Without keys and signers no web page may do this: it could be anybody's")
    if not caller.roles & OPERATORS:
        raise Forbidden(f"This needs one of the roles {', '.join(sorted(OPERATORS))}")
    return caller


Operator = Annotated[Caller, Depends(operator)]


@operator_routes.post("/diagnoses")
async def diagnose(asked: wire.DiagnosisRequest, monitor: Parts, caller: Operator) -> wire.Diagnosis:
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
    await monitor.alerting.note("diagnose", asked.target or found.address, Actor(caller.id), outcome=outcome)
    return found


@operator_routes.post("/backends/{name}/drain")
async def drain(name: str, monitor: Parts, caller: Operator, asked: wire.DrainRequest | None = None) -> wire.Drained:
    """Take it out of service: it says not ready and goes on serving. Refused where too few would be left."""
    if name not in monitor.watch.backends:
        raise BackendNotFound(f"No backend {name[:80]!r} in the fleet file")
    actor = Actor(caller.id)
    try:
        drained = await monitor.control.drain(name, by=caller.id, accept_left=asked.accept_left if asked else None)
    except TooFewLeft as error:
        await monitor.alerting.note("drain", name, actor, outcome="refused")
        raise DrainRefused(str(error)) from None
    except CannotTell as error:
        await monitor.alerting.note("drain", name, actor, outcome="not possible")
        raise DrainImpossible(str(error)) from None
    await monitor.alerting.note("drain", name, actor, outcome="told" if drained.told else "to be told")
    return drained


@operator_routes.post("/backends/{name}/return")
async def put_back(name: str, monitor: Parts, caller: Operator) -> wire.Drained:
    """No longer tell it to drain. One that drains already serves again once it is restarted."""
    if name not in monitor.watch.backends:
        raise BackendNotFound(f"No backend {name[:80]!r} in the fleet file")
    returned = monitor.control.put_back(name, by=caller.id)
    await monitor.alerting.note("return", name, Actor(caller.id), outcome="done")
    return returned


@operator_routes.get("/synthetic")
async def synthetic(monitor: Parts, caller: Annotated[Caller, Depends(reader)]) -> wire.Page[wire.SyntheticResult]:
    """The last verification of each known pair, through each backend and the balancer."""
    found = monitor.synthetic.results()
    return wire.Page(items=found, total=len(found))
