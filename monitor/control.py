"""What the monitor does to backends: it takes them out of service, tells one again that was restarted, and lets them return."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from pathlib import Path

from monitor import fleet, wire
from monitor.backend_watch import BackendWatch
from monitor.clock import Clock
from monitor.drain import Intent, Left, after_return, next_step, refused
from monitor.probe.call import call
from monitor.probe.connection import Target, TrustStore
from monitor.probe.outcome import Reason
from monitor.secret import SecretMissing, read_key
from monitor.watch import FleetWatch

log = logging.getLogger(__name__)

DEADLINE_S = 5.0
DRAIN = "/v1/fleet/self/drain"
RETURN = "/v1/fleet/self/return"


class TooFewLeft(Exception):
    """The guard's no; the message has the count and how to go on all the same."""

    def __init__(self, left: Left) -> None:
        super().__init__(f"{left.sentence} To drain it all the same, send accept_left: {len(left.names)}")


class CannotTell(Exception):
    """No key, or the backend refuses it: trying again would not help."""


class Control:
    """Lives in the event loop's thread; what it decides is remembered in `watch`, which stores it."""

    def __init__(self, watch: FleetWatch, trust: TrustStore, *, base: Path, clock: Clock) -> None:
        self._watch, self._trust, self._base, self._clock = watch, trust, base, clock
        self._telling: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def drain(self, name: str, *, by: str, accept_left: int | None) -> wire.Drained:
        """Guard, remember, tell. One that cannot be reached now is told as soon as it answers.

        Raises:
            TooFewLeft: fewer than `accept_left` (half of the fleet where it is None) would serve without it.
            CannotTell: there is no key, or the backend does not take it.
        """
        left = self._watch.left_without(name)
        if refused(left, accept_left=accept_left):
            raise TooFewLeft(left)
        key = self._key()
        backend = self._watch.backends[name]  # the fleet file may take it out while it is told
        before = backend.drain
        # Before anybody is asked: a second drain meanwhile must count this one as gone.
        self._watch.set_drain(name, before or Intent(self._clock(), by))
        async with self._telling[name]:
            told = await self._tell(backend.spec, DRAIN, key)
        if isinstance(told, Reason) and told.code.startswith("APP.STATUS.4"):
            self._watch.set_drain(name, before)
            raise CannotTell(
                f"{name} refuses to drain ({told.detail}): the key below `drain` in the fleet file must be an operator's"
            )
        log.info("%s is drained by %s: %s", name, by, told.code if isinstance(told, Reason) else "told")
        return self._answer(backend, left, told=not isinstance(told, Reason))

    async def put_back(self, name: str, *, by: str) -> wire.Drained:
        """Forget that it shall be out of service, and tell it. Where it cannot be told, the answer says what to do."""
        backend = self._watch.backends[name]
        self._watch.set_drain(name, None)
        try:
            # Else a drain that is being told again might reach it after the return.
            async with self._telling[name]:
                failed = await self._tell(backend.spec, RETURN, self._key())
        except CannotTell as error:
            failed = Reason("MON.KEY", str(error))
        log.info("%s is put back by %s: %s", name, by, failed.code if failed else "told")
        left = self._watch.left_without(name)
        return self._answer(backend, left, told=failed is None, next_=self._after_return(failed))

    async def tell_again(self, name: str) -> None:
        """A backend that shall drain and says that it is ready was restarted: tell it. Failures are for the next round."""
        backend = self._watch.backends.get(name)
        if backend is None or not backend.must_be_told():
            return
        try:
            async with self._telling[name]:
                if not backend.must_be_told():
                    return
                told = await self._tell(backend.spec, DRAIN, self._key())
        except CannotTell as error:
            log.warning("%s shall drain and cannot be told: %s", name, error)
            return
        log.info("%s was restarted and is told again to drain: %s", name, told.code if isinstance(told, Reason) else "told")

    def _key(self) -> str:
        reference = self._watch.fleet.drain.key
        if reference is None:
            raise CannotTell("there is no key for it: give `drain: {key: file:PATH}` in the fleet file, of an operator")
        try:
            return read_key(reference, base=self._base)
        except SecretMissing as error:
            raise CannotTell(f"the key below `drain` in the fleet file: {error}") from error

    async def _tell(self, spec: fleet.Backend, path: str, key: str) -> Reason | None:
        target = Target.of(url=spec.url, address=spec.address, server_name=spec.server_name, ca_file=spec.ca_file)
        got = await call(path, target, self._trust, key=key, deadline_s=DEADLINE_S)
        if isinstance(got, Reason):
            return got
        return None if got.status == 200 else Reason(f"APP.STATUS.{got.status}", f"{path} answers {got.status}")

    def _answer(self, backend: BackendWatch, left: Left, *, told: bool, next_: str | None = None) -> wire.Drained:
        return wire.Drained(
            backend=backend.spec.name,
            admin_state=backend.admin_state,
            told=told,
            left=list(left.names),
            total=left.total,
            sentence=left.sentence,
            next=next_ or next_step(backend.spec.name, self._watch.fleet.balancer.kind),
            since=backend.drain.since if backend.drain else None,
        )

    def _after_return(self, failed: Reason | None) -> str:
        return after_return(failed.code if failed else None, failed.detail if failed else "", self._watch.fleet.balancer.kind)
