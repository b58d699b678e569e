"""Which certificates the fleet file asks to watch, and how one of them is looked at."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from monitor import wire
from monitor.balancer.place import balancer_target
from monitor.certificates.chain import chain_facts, trusted_by
from monitor.certificates.endpoint import served
from monitor.certificates.judgement import Limits, Place, certificate
from monitor.clock import Clock, utc_now
from monitor.fleet import Fleet
from monitor.probe.connection import Target, TrustFileUnreadable, TrustStore
from monitor.probe.outcome import Reason


@dataclass(frozen=True)
class Watched:
    """Either `target` or `file`."""

    name: str
    target: Target | None = None
    file: Path | None = None

    @property
    def place(self) -> Place:
        if self.target is not None:
            return Place(self.name, self.target.address, self.target.server_name)
        return Place(self.name, str(self.file), None)


def watched(fleet: Fleet) -> list[Watched]:
    """Every backend by its own address, the balancer, the balancer's file, and what the file names beside them."""
    found = [
        Watched(b.name, Target.of(url=b.url, address=b.address, server_name=b.server_name, ca_file=b.ca_file))
        for b in fleet.backends
        if b.tls
    ]
    balancer = balancer_target(fleet.balancer)
    if balancer is not None and balancer.tls:
        found.append(Watched("balancer", balancer))
    if fleet.balancer.cert_file is not None:
        found.append(Watched("balancer-file", file=fleet.balancer.cert_file))
    taken = {one.name for one in found}
    for extra in fleet.certificates.watch:
        name = extra.name if extra.name not in taken else f"watch-{extra.name}"
        if extra.address is not None:
            server_name = extra.server_name or extra.address.rpartition(":")[0].strip("[]")
            found.append(Watched(name, Target(extra.address, server_name, server_name, True, extra.ca_file)))
        else:
            found.append(Watched(name, file=extra.file))
    return found


async def look(one: Watched, trust: TrustStore, *, limits: Limits, deadline_s: float, now: Clock = utc_now) -> wire.Certificate:
    """The certificate as it is now; never raises."""
    if one.target is None:
        chain, reason = await asyncio.to_thread(_of_file, one.file)
        judged = certificate(one.place, chain, reason, limits=limits, now=now())
        return judged.model_copy(update=chain_facts(chain, trusted=None)) if chain else judged
    try:
        context = trust.context(one.target.ca_file)
    except TrustFileUnreadable as error:
        return certificate(one.place, (), Reason("MON.TRUST", str(error)), limits=limits, now=now())
    found = await asyncio.to_thread(served, one.target, context, deadline_s=deadline_s, allowed=trust.allowed)
    judged = certificate(one.place, found.chain, found.reason, limits=limits, now=now(), staple=found.staple)
    if not found.chain:
        return judged
    trusted = await asyncio.to_thread(trusted_by, context)
    return judged.model_copy(update=chain_facts(found.chain, trusted=trusted))


def _of_file(file: Path | None) -> tuple[tuple[x509.Certificate, ...], Reason | None]:
    try:
        return tuple(x509.load_pem_x509_certificates(file.read_bytes() if file else b"")), None
    except OSError as error:
        return (), Reason("MON.FILE", f"the file cannot be read: {error.strerror}")
    except ValueError:
        return (), Reason("TLS.FILE", "the file holds no readable PEM certificate")


def remembered(old: wire.Certificate | None, new: wire.Certificate) -> wire.Certificate:
    """Where the endpoint could not be reached, what was last known stays, with its age (`at`) and the reason why it is old."""
    if new.fingerprint_sha256 is not None or old is None or old.fingerprint_sha256 is None:
        return new
    return old.model_copy(update={"detail": f"not reached since: {new.detail}"})
