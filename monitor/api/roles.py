"""Who may do what at the monitor: of people a role, of keys a scope."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from monitor.api.identity import Caller
from monitor.api.problems import Forbidden
from monitor.api.routes import Parts, reader
from monitor.store.operators import Actor


class Needs:
    """One of `roles`. Where the API is open to this machine, every program on it may act, but no web page."""

    def __init__(self, *roles: str) -> None:
        self.roles = frozenset(roles)

    def __call__(self, request: Request, monitor: Parts, caller: Annotated[Caller, Depends(reader)]) -> Actor:
        if monitor.doorkeeper.open_to_all and request.method != "GET" and "Origin" in request.headers:
            raise Forbidden("Without keys and signers no web page may do this: it could be anybody's")
        if not caller.roles & self.roles:
            raise Forbidden(f"This needs one of the roles {', '.join(sorted(self.roles))}")
        return Actor(caller.id)


Operator = Annotated[Actor, Depends(Needs("operator", "admin"))]
MayAudit = Depends(Needs("supervisor", "admin"))
