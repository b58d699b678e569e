"""Certificates for tests: good ones by trustme, broken ones by cryptography; PEM files in a folder."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "b1.face-auth.internal"


@dataclass(frozen=True)
class Pair:
    """A chain and its key, as PEM files."""

    cert: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        return context


class Authority:
    """A CA of our own, and what it issues below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self._root.cert_pem.write_to_path(str(self.ca_file))

    def issue(self, *names: str, not_before: datetime | None = None, not_after: datetime | None = None) -> Pair:
        leaf = self._root.issue_cert(*(names or (NAME, "127.0.0.1")), not_before=not_before, not_after=not_after)
        return self._write(leaf, leaf.cert_chain_pems)

    def expired(self) -> Pair:
        now = datetime.now(UTC)
        return self.issue(not_before=now - timedelta(days=90), not_after=now - timedelta(days=1))

    def not_yet_valid(self) -> Pair:
        now = datetime.now(UTC)
        return self.issue(not_before=now + timedelta(days=1), not_after=now + timedelta(days=90))

    def below_intermediate(self, *, complete: bool) -> Pair:
        """A leaf whose issuer is an intermediate, sent with it or without."""
        leaf = self._root.create_child_ca().issue_cert(NAME)
        pems = leaf.cert_chain_pems
        return self._write(leaf, pems if complete else pems[:1])

    def of_a_stranger(self) -> Pair:
        leaf = trustme.CA().issue_cert(NAME)
        return self._write(leaf, leaf.cert_chain_pems)

    def self_signed(self) -> Pair:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pair = self._paths()
        pair.cert.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        pair.key.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return pair

    def _write(self, leaf: trustme.LeafCert, chain: list[trustme.Blob]) -> Pair:
        pair = self._paths()
        pair.cert.write_bytes(b"".join(pem.bytes() for pem in chain))
        leaf.private_key_pem.write_to_path(str(pair.key))
        return pair

    def _paths(self) -> Pair:
        number = len(list(self._folder.glob("leaf-*.pem")))
        return Pair(self._folder / f"leaf-{number}.pem", self._folder / f"key-{number}.pem")
