"""What to run to renew a certificate, by who issued it. Pure; names from afar are quoted, as the lines are for a shell."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from shlex import quote

from monitor import wire

LOCAL_CA = "local fleet"
LOCAL_RENEWS_BELOW_DAYS = 45
ACME = ("Let's Encrypt", "ZeroSSL", "Google Trust Services", "Buypass", "ISRG")
AMAZON = "Amazon"
REASONS = {
    "TLS.EXPIRED": "It has expired (verify code 10): no client that verifies connects any more.",
    "TLS.EXPIRING": "It, or an intermediate, ends soon: an automatic renewal should have replaced it by now.",
    "TLS.NOT_YET_VALID": "It is not valid yet (verify code 9): compare the clocks of both hosts (timedatectl) before you renew.",
    "TLS.NAME_MISMATCH": "It is for another name (verify code 62): issue it for that name, or correct server_name.",
    "TLS.SELF_SIGNED": "It is signed by itself (verify code 18): let a CA that the clients trust sign it.",
    "TLS.UNKNOWN_ISSUER": "Its issuer is not known (verify code 20): send the intermediate along, or name the right ca_file.",
    "TLS.REVOKED": "It is revoked: replace certificate and key, and find out why it was.",
    "TLS.PURPOSE": "It is not for servers: issue it with the extended key usage serverAuth.",
    "TLS.FILE": "The file holds no readable PEM certificate: write it anew.",
}


@dataclass(frozen=True)
class Renewal:
    """`kind`: who issues it; `why`: what is wrong, or why there is nothing to do yet; the commands in their order."""

    kind: str
    why: str
    note: str
    commands: Sequence[str]


def renewal(certificate: wire.Certificate) -> Renewal:
    """For this certificate, as it was last seen."""
    why = REASONS.get(certificate.reason or "", "It is in order: nothing has to be done yet.")
    issuer = (certificate.issuer or "").replace("\\", "")
    if LOCAL_CA in issuer:
        note = f"The local CA of “make run” issues a new one at a start when fewer than {LOCAL_RENEWS_BELOW_DAYS} days are left."
        return Renewal("the local CA", why, note, ["make stop", "make run", _check(certificate)])
    if any(name in issuer for name in ACME):
        return Renewal(f"ACME ({_organisation(issuer)})", why, _ACME_NOTE, [*_acme(certificate), _check(certificate)])
    if AMAZON in issuer:
        note = "AWS renews it by itself as long as its DNS record for validation stands: look what keeps it back."
        name = quote(_name(certificate))
        listed = f"aws acm list-certificates --query 'CertificateSummaryList[?DomainName==`'{name}'`]'"
        return Renewal("AWS Certificate Manager", why, note, [listed, _check(certificate)])
    signer = _organisation(issuer) or "not known"
    note = f"Have the request signed by its issuer ({signer}), put the answer with its intermediates in place, and reload."
    return Renewal("a CA of your own", why, note, [_request(certificate), _check(certificate)])


_ACME_NOTE = "By certbot, or by cert-manager in Kubernetes, whichever made it; each says why it did not by itself."


def _acme(certificate: wire.Certificate) -> list[str]:
    name = quote(_name(certificate))
    return [
        "# certbot",
        f"sudo certbot renew --cert-name {name} --deploy-hook 'systemctl reload nginx || systemctl reload haproxy'",
        "# cert-manager: NAMESPACE and NAME as the first line lists them",
        "kubectl get certificates --all-namespaces",
        "cmctl renew --namespace NAMESPACE NAME && cmctl status certificate --namespace NAMESPACE NAME",
    ]


def _request(certificate: wire.Certificate) -> str:
    name = _name(certificate)
    sans = ",".join(f"{'IP' if _is_address(one) else 'DNS'}:{one}" for one in certificate.sans or [name])
    return (
        f"openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout {quote(certificate.name + '.key')} "
        f"-out {quote(certificate.name + '.csr')} -subj {quote('/CN=' + name)} -addext {quote('subjectAltName=' + sans)}"
    )


def _check(certificate: wire.Certificate) -> str:
    """What is served, or lies there, afterwards."""
    shown = "openssl x509 -noout -subject -dates -fingerprint -sha256"
    if certificate.server_name is None:
        return f"{shown} -in {quote(certificate.endpoint)}"
    to = f"-connect {quote(certificate.endpoint)} -servername {quote(certificate.server_name)}"
    return f"openssl s_client {to} </dev/null | {shown}"


def _name(certificate: wire.Certificate) -> str:
    return certificate.server_name or next(iter(certificate.sans), certificate.name)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _organisation(issuer: str) -> str:
    """`O=` of an RFC 4514 name, else the whole."""
    return next((part[2:] for part in issuer.split(",") if part.startswith("O=")), issuer)
