"""Takes the certificates of one endpoint: a verifying handshake for the judgement, a second one for the chain as sent.

A verifying handshake that fails gives no certificate at all, so an expired one would go unseen on the day it matters. The
second handshake verifies nothing, sends nothing and is closed as soon as the chain is there. Synchronous: run in a thread.
"""

from __future__ import annotations

import ipaddress
import selectors
import socket
import ssl
import time
from dataclasses import dataclass

from cryptography import x509
from OpenSSL import SSL

from monitor.probe.connection import Target
from monitor.probe.outcome import Reason, Stage
from monitor.probe.reasons import of_exception, of_timeout


@dataclass(frozen=True)
class Served:
    """`chain` as sent, leaf first; empty where none came. `reason` is why the verifying handshake failed."""

    chain: tuple[x509.Certificate, ...]
    reason: Reason | None


def served(target: Target, trust: ssl.SSLContext, *, deadline_s: float) -> Served:
    """Ask `target`; never raises."""
    reason = _verify(target, trust, deadline_s)
    if reason is not None and not reason.code.startswith("TLS."):
        return Served((), reason)
    try:
        return Served(_chain(target, deadline_s), reason)
    except Exception as error:  # the judgement stands without the chain
        return Served((), reason or of_exception(error, "tls"))


def _verify(target: Target, trust: ssl.SSLContext, deadline_s: float) -> Reason | None:
    end = time.monotonic() + deadline_s
    stage: Stage = "connect"
    try:
        with socket.create_connection((target.host, target.port), timeout=deadline_s) as plain:
            stage = "tls"
            plain.settimeout(_left(end))
            with trust.wrap_socket(plain, server_hostname=target.server_name):
                return None
    except TimeoutError:
        return of_timeout(stage, deadline_s)
    except (OSError, ValueError) as error:
        return of_exception(error, stage)


def _chain(target: Target, deadline_s: float) -> tuple[x509.Certificate, ...]:
    end = time.monotonic() + deadline_s
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    with socket.create_connection((target.host, target.port), timeout=deadline_s) as plain:
        plain.setblocking(False)
        connection = SSL.Connection(context, plain)
        if not _is_address(target.server_name):
            connection.set_tlsext_host_name(target.server_name.encode("idna"))
        connection.set_connect_state()
        _shake_hands(connection, plain, end)
        return tuple(connection.get_peer_cert_chain(as_cryptography=True) or ())


def _shake_hands(connection: SSL.Connection, plain: socket.socket, end: float) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(plain, selectors.EVENT_READ)
        while True:
            try:
                connection.do_handshake()
            except SSL.WantReadError:
                selector.modify(plain, selectors.EVENT_READ)
            except SSL.WantWriteError:
                selector.modify(plain, selectors.EVENT_WRITE)
            else:
                return
            if not selector.select(_left(end)):
                raise TimeoutError("the handshake took too long")


def _left(end: float) -> float:
    return max(0.01, end - time.monotonic())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
