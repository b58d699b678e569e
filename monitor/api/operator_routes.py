"""What operators have the monitor do: diagnose a target, take a backend out of service and back. No logic of its own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from monitor import wire
from monitor.addresses import AddressRefused
from monitor.api.identity import Caller
from monitor.api.problems import Forbidden, TargetNotFound, TargetRefused
from monitor.api.routes import Parts, reader
from monitor.diagnosis.subjects import NoSuchTarget, in_fleet, of_url

OPERATORS = frozenset({"operator", "admin"})

operator_routes = APIRouter(prefix="/v1")


def operator(caller: Annotated[Caller, Depends(reader)]) -> Caller:
    """People with the role, keys with the scope; where the API is open to this machine, everybody on it."""
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
    return await monitor.diagnose(subject)
