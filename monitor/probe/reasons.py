"""Foreign exceptions become reason codes here, and nowhere else.

| code | when |
|---|---|
| NET.REFUSED, NET.RESET, NET.UNREACHABLE, NET.FORBIDDEN, NET.DNS | the kernel, or the resolver, said so |
| NET.CLOSED | the peer closed before, or in the middle of, its answer |
| NET.TIMEOUT.{DNS,CONNECT,TLS,ANSWER,BODY} | the deadline passed in that stage |
| TLS.{EXPIRED,NOT_YET_VALID,NAME_MISMATCH,SELF_SIGNED,UNKNOWN_ISSUER,…} | OpenSSL's verify code |
| TLS.HANDSHAKE | the handshake failed otherwise (plain HTTP behind the port, no common version) |
| APP.PROTOCOL | an answer that is not HTTP |
| MON.RESOURCES, MON.TRUST, MON.ADDRESS | the monitor's own side: no verdict about the backend |

What each code means to a person, and what to look at next, stands in `monitor.reason_codes`.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

import httpcore

from monitor.addresses import AddressRefused
from monitor.probe.outcome import Reason, Stage

STAGE_OF_TIMEOUT: dict[Stage, str] = {"dns": "DNS", "connect": "CONNECT", "tls": "TLS", "request": "ANSWER", "body": "BODY"}

DOING: dict[Stage, str] = {
    "dns": "its name was looked up",
    "connect": "connecting",
    "tls": "in the TLS handshake",
    "request": "waiting for the answer's first line",
    "body": "reading the answer's body",
}

# X509_V_ERR_*, as the ssl module passes them on.
VERIFY_CODES = {
    9: ("TLS.NOT_YET_VALID", "its certificate is not valid yet"),
    10: ("TLS.EXPIRED", "its certificate has expired"),
    18: ("TLS.SELF_SIGNED", "its certificate is self-signed"),
    19: ("TLS.UNKNOWN_ISSUER", "its chain ends in a root that is not trusted"),
    2: ("TLS.UNKNOWN_ISSUER", "its issuer's certificate is missing"),
    20: ("TLS.UNKNOWN_ISSUER", "its issuer is not trusted, or an intermediate is missing"),
    21: ("TLS.UNKNOWN_ISSUER", "its issuer is not trusted, or an intermediate is missing"),
    23: ("TLS.REVOKED", "its certificate is revoked"),
    26: ("TLS.PURPOSE", "its certificate is not for servers"),
    62: ("TLS.NAME_MISMATCH", "its certificate is for another name"),
    64: ("TLS.NAME_MISMATCH", "its certificate is for another address"),
}

OURS = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL}
UNREACHABLE = {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN}
FORBIDDEN = {errno.EACCES, errno.EPERM}
RESET = {errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}


def of_timeout(stage: Stage, deadline_s: float) -> Reason:
    return Reason(f"NET.TIMEOUT.{STAGE_OF_TIMEOUT[stage]}", f"no answer within {deadline_s:g} s: {DOING[stage]}")


def of_verification(error: ssl.SSLCertVerificationError) -> Reason:
    code, sentence = VERIFY_CODES.get(error.verify_code, (f"TLS.VERIFY.{error.verify_code}", "its certificate does not verify"))
    return Reason(code, f"{sentence} ({error.verify_message})")


def of_exception(error: BaseException, stage: Stage) -> Reason:
    """The reason behind `error`, found anywhere in its chain of causes."""
    chain = list(_causes(error))
    for cause in chain:
        found = _of_one(cause, stage)
        if found is not None:
            return found
    if any(isinstance(cause, httpcore.RemoteProtocolError) for cause in chain):
        return _of_protocol(error)
    if any(isinstance(cause, httpcore.NetworkError | EOFError) for cause in chain):
        return Reason("NET.CLOSED", f"the connection broke: {DOING[stage]}")
    return Reason("MON.PROBE", f"the probe itself failed: {type(error).__name__}")


def _of_one(error: BaseException, stage: Stage) -> Reason | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return of_verification(error)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Reason("NET.CLOSED", f"the peer closed the connection: {DOING[stage]}")
    if isinstance(error, ssl.SSLError):
        return Reason("TLS.HANDSHAKE", f"the TLS handshake failed: {getattr(error, 'reason', None) or 'no reason given'}")
    if isinstance(error, AddressRefused):
        return Reason("MON.ADDRESS", str(error))
    if isinstance(error, socket.gaierror):
        return Reason("NET.DNS", f"its name cannot be resolved: {error.strerror}")
    if isinstance(error, UnicodeError) and stage == "dns":
        return Reason("NET.DNS", "its name is not a host name")
    if isinstance(error, OSError) and error.errno is not None:
        return _of_errno(error.errno, stage)
    return None


def _of_errno(number: int, stage: Stage) -> Reason | None:
    if number in OURS:
        return Reason("MON.RESOURCES", f"the monitor has no socket to probe with: {errno.errorcode[number]}")
    if number == errno.ECONNREFUSED:
        return Reason("NET.REFUSED", "nothing listens at its address")
    if number == errno.ETIMEDOUT:
        return Reason(f"NET.TIMEOUT.{STAGE_OF_TIMEOUT[stage]}", f"the kernel gave up: {DOING[stage]}")
    if number in RESET:
        return Reason("NET.RESET", f"the peer reset the connection: {DOING[stage]}")
    if number in UNREACHABLE:
        return Reason("NET.UNREACHABLE", f"no route to its address: {errno.errorcode[number]}")
    if number in FORBIDDEN:
        return Reason("NET.FORBIDDEN", f"a rule of this machine or its network forbids it: {errno.errorcode[number]}")
    return None


def _of_protocol(error: BaseException) -> Reason:
    message = str(error).lower()
    if "disconnected" in message or "closed" in message:
        return Reason("NET.CLOSED", "the peer closed the connection before its answer was complete")
    return Reason("APP.PROTOCOL", "what answers there is not HTTP")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, and what is inside exception groups: outermost first."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop(0)
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
