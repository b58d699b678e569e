"""Reads the OCSP answer that a server sends along with its certificate. It is shown, never asked for: many CAs have none now."""

from __future__ import annotations

from datetime import datetime

from cryptography.x509 import ocsp

from monitor import wire

STATUS = {ocsp.OCSPCertStatus.GOOD: "good", ocsp.OCSPCertStatus.REVOKED: "revoked", ocsp.OCSPCertStatus.UNKNOWN: "unknown"}


def read(staple: bytes, *, now: datetime) -> wire.Ocsp:
    """What the answer says; `unreadable` where it is none or an error. Its signature is not judged here: a client does that."""
    try:
        answer = ocsp.load_der_ocsp_response(staple)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return wire.Ocsp(status="unreadable")
        until = answer.next_update_utc
        return wire.Ocsp.model_validate(
            {
                "status": STATUS[answer.certificate_status],
                "produced_at": answer.produced_at_utc,
                "next_update": until,
                "stale": until is not None and until <= now,
            }
        )
    except ValueError:
        return wire.Ocsp(status="unreadable")
