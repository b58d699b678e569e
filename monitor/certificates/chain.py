"""What is wrong with a chain as it was sent, beside its dates: a missing intermediate, the wrong order, weak keys. Pure."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

SHORTEST_RSA = 2048
WEAK_HASHES = (hashes.MD5, hashes.SHA1)

# A name as the values of its parts: the `ssl` module and `cryptography` spell their types differently.
NameKey = tuple[tuple[str, ...], ...]
# Subject → whether it is a root (self-signed), of everything that is trusted.
Trusted = Mapping[NameKey, bool]


@lru_cache(maxsize=64)
def trusted_by(context: ssl.SSLContext) -> Trusted:
    """The names that a client with this context trusts: read once, as it never trusts others later (see `TrustStore`).

    Not by parsing each with `cryptography`: old roots break rules (a serial number of zero), of which it warns.
    """
    known = context.get_ca_certs()
    return {_told(one["subject"]): _told(one["subject"]) == _told(one["issuer"]) for one in known}


def _told(name: Any) -> NameKey:
    return tuple(tuple(str(value) for _, value in part) for part in name)


def _key(name: x509.Name) -> NameKey:
    return tuple(tuple(str(attribute.value) for attribute in part) for part in name.rdns)


def chain_facts(chain: Sequence[x509.Certificate], *, trusted: Trusted | None) -> dict[str, Any]:
    """`self_signed`, `chain_complete`, `notes` of `wire.Certificate`. `trusted` None: a file, and who trusts it is not known."""
    return {
        "self_signed": is_self_signed(chain[0]),
        "chain_complete": _is_complete(chain, trusted),
        "notes": list(_notes(chain, trusted)),
    }


def is_self_signed(one: x509.Certificate) -> bool:
    return one.subject == one.issuer and _signed(one, by=one)


def _is_complete(chain: Sequence[x509.Certificate], trusted: Trusted | None) -> bool | None:
    """Whether the chain, in whatever order, leads from the leaf to a root's door."""
    last = _top(chain)
    if last.subject == last.issuer:
        return True
    return None if trusted is None else trusted.get(_key(last.issuer)) is True


def _top(chain: Sequence[x509.Certificate]) -> x509.Certificate:
    """The last certificate that can be reached from the leaf."""
    by_subject = {one.subject: one for one in chain}
    top = chain[0]
    for _ in chain:
        above = by_subject.get(top.issuer)
        if above is None or above is top:
            break
        top = above
    return top


def _notes(chain: Sequence[x509.Certificate], trusted: Trusted | None) -> Iterator[str]:
    leaf = chain[0]
    if trusted is not None and trusted.get(_key(_top(chain).issuer)) is False:
        yield f"the intermediate {_name(_top(chain).issuer)} is not sent: who does not have it already cannot verify"
    if any(below.issuer != above.subject for below, above in pairwise(chain)):
        yield "the chain is not sent in order, or holds what does not belong to it"
    if any(below.issuer == above.subject and not _signed(below, by=above) for below, above in pairwise(chain)):
        yield "a certificate in the chain carries its issuer's name and not its signature"
    if len(chain) > 1 and chain[-1].subject == chain[-1].issuer:
        yield "the root is sent along: needless, as who does not have it will not trust it"
    key = leaf.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SHORTEST_RSA:
        yield f"its RSA key of {key.key_size} bits is too short"
    weak = {one.signature_hash_algorithm.name for one in chain if isinstance(one.signature_hash_algorithm, WEAK_HASHES)}
    if weak and not is_self_signed(chain[-1]):
        yield f"it is signed with {', '.join(sorted(weak))}"


def _signed(one: x509.Certificate, *, by: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _name(name: x509.Name) -> str:
    return name.rfc4514_string()
