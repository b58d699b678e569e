"""A local CA and one leaf per listener, renewed at a start long before they end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import trustme
from cryptography import x509

from deploy.atomic import write, write_private

LEAF_DAYS = 90
RENEW_BELOW_DAYS = 45
LOOPBACK = ("127.0.0.1", "localhost")


class LocalCa:
    """The CA of one run folder: `ca.pem` is for everybody, its key for nobody else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "ca.pem"
        self._ca = self._load_or_create(folder / "ca-private.pem")

    def _load_or_create(self, key_file: Path) -> trustme.CA:
        if self.file.exists() and key_file.exists():
            return trustme.CA.from_pem(self.file.read_bytes(), key_file.read_bytes())
        ca = trustme.CA(organization_name="Face authentication, local fleet")
        write_private(key_file, ca.private_key_pem.bytes())
        write(self.file, ca.cert_pem.bytes())
        return ca

    def leaf(self, name: str, names: Sequence[str]) -> tuple[Path, Path]:
        """Files of the certificate (chain) and key for one listener, with the loopback names beside its own."""
        certificate, key = self.folder / f"{name}-cert.pem", self.folder / f"{name}-key.pem"
        wanted = (*LOOPBACK, *names)
        if not (key.exists() and self._lasts(certificate, wanted)):
            now = dt.datetime.now(dt.UTC)
            issued = self._ca.issue_cert(
                *wanted, common_name=names[0] if names else name,
                not_before=now - dt.timedelta(hours=1), not_after=now + dt.timedelta(days=LEAF_DAYS),
            )  # fmt: skip
            write_private(key, issued.private_key_pem.bytes())
            write(certificate, b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return certificate, key

    def combined(self, name: str) -> Path:
        """Chain and key in one file, as HAProxy reads them; never world-readable."""
        certificate, key = self.folder / f"{name}-cert.pem", self.folder / f"{name}-key.pem"
        together = self.folder / f"{name}-combined.pem"
        write_private(together, certificate.read_bytes() + key.read_bytes())
        return together

    def _lasts(self, certificate: Path, wanted: Sequence[str]) -> bool:
        """Whether the certificate is ours, for these names, and lasts a while."""
        if not certificate.exists():
            return False
        leaf = x509.load_pem_x509_certificate(certificate.read_bytes())
        ca = x509.load_pem_x509_certificate(self.file.read_bytes())
        left = leaf.not_valid_after_utc - dt.datetime.now(dt.UTC)
        return leaf.issuer == ca.subject and left > dt.timedelta(days=RENEW_BELOW_DAYS) and set(wanted) <= set(_names(leaf))


def _names(leaf: x509.Certificate) -> list[str]:
    found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
