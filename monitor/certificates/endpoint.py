"""Takes the certificates of one endpoint: a verifying handshake for the judgement, a second one for the chain as sent.

A verifying handshake that fails gives no certificate at all, so an expired one would go unseen on the day it matters. The
second handshake verifies nothing, sends nothing and is closed as soon as the chain is there. Synchronous: run in a thread.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import time
from collections.abc import Collection
from dataclasses import dataclass

from cryptography import x509
from OpenSSL import SSL

from monitor.addresses import number_of
from monitor.probe.connection import Target
from monitor.probe.outcome import Reason, Stage
from monitor.probe.reasons import of_exception, of_timeout
from monitor.probe.resolve import resolved_now


@dataclass(frozen=True)
class Served:
    """`chain` as sent, leaf first; empty where none came. `reason` is why the verifying handshake failed.

    `staple` is the OCSP response that came with the handshake, DER; None where none did.
    """

    chain: tuple[x509.Certificate, ...]
    reason: Reason | None
    staple: bytes | None = None


def served(target: Target, trust: ssl.SSLContext, *, deadline_s: float, allowed: Collection[str] = ()) -> Served:
    """Ask `target`; never raises."""
    reason = _verify(target, trust, deadline_s, allowed)
    if reason is not None and not reason.code.startswith("TLS."):
        return Served((), reason)
    try:
        chain, staple = _chain(target, deadline_s, allowed)
        return Served(chain, reason, staple)
    except Exception as error:  # the judgement stands without the chain
        return Served((), reason or of_exception(error, "tls"))


def _verify(target: Target, trust: ssl.SSLContext, deadline_s: float, allowed: Collection[str]) -> Reason | None:
    end = time.monotonic() + deadline_s
    stage: Stage = "connect"
    try:
        with _connected(target, deadline_s, allowed) as plain:
            stage = "tls"
            plain.settimeout(_left(end))
            with trust.wrap_socket(plain, server_hostname=target.server_name):
                return None
    except TimeoutError:
        return of_timeout(stage, deadline_s)
    except (OSError, ValueError) as error:
        return of_exception(error, stage)


def _connected(target: Target, deadline_s: float, allowed: Collection[str]) -> socket.socket:
    """A plain connection to the first of the target's addresses that takes one. Raises OSError, `AddressRefused`."""
    addresses = resolved_now(target.host, target.port, allowed=allowed)
    for address in addresses[:-1]:
        try:
            return socket.create_connection((address, target.port), timeout=deadline_s)
        except OSError:
            continue
    return socket.create_connection((addresses[-1], target.port), timeout=deadline_s)


def _chain(target: Target, deadline_s: float, allowed: Collection[str]) -> tuple[tuple[x509.Certificate, ...], bytes | None]:
    end = time.monotonic() + deadline_s
    stapled: list[bytes] = []

    def keep(connection: SSL.Connection, response: bytes, data: object) -> bool:
        stapled.append(response)
        return True

    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_ocsp_client_callback(keep)
    with _connected(target, deadline_s, allowed) as plain:
        plain.setblocking(False)
        connection = SSL.Connection(context, plain)
        connection.request_ocsp()
        if number_of(target.server_name) is None:
            connection.set_tlsext_host_name(target.server_name.encode("idna"))
        connection.set_connect_state()
        _shake_hands(connection, plain, end)
        chain = tuple(connection.get_peer_cert_chain(as_cryptography=True) or ())
        return chain, next((one for one in stapled if one), None)


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
