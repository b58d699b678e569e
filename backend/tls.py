"""TLS with certificate files that are read again when they change, so that a renewal needs no restart."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

POLL_S = 1.0

log = logging.getLogger(__name__)


class Certificate:
    """A live server context over a certificate's files. Raises OSError or ssl.SSLError where they cannot be used at the start."""

    def __init__(self, cert_file: Path, key_file: Path) -> None:
        self._files = (cert_file, key_file)
        self.context = _context()
        self._loaded = self._mark()
        self.context.load_cert_chain(cert_file, key_file)

    def refresh(self) -> bool:
        """Load the files again if they changed; connections from now on get the new certificate. Returns whether it did.

        Files that do not fit each other (a renewal writes one after the other) leave the old certificate in force.
        """
        try:
            mark = self._mark()
            if mark == self._loaded:
                return False
            # OpenSSL drops the old key from a context as soon as a certificate of another key is put in: try it elsewhere first.
            _context().load_cert_chain(*self._files)
            self.context.load_cert_chain(*self._files)
        except (OSError, ssl.SSLError) as error:
            log.warning("the certificate's files cannot be used (%s): the old one stays in force", type(error).__name__)
            return False
        self._loaded = mark
        log.info("the certificate was loaded again")
        return True

    async def follow(self) -> None:
        """Poll for ever; cancel to stop."""
        while True:
            await asyncio.sleep(POLL_S)
            self.refresh()

    def _mark(self) -> tuple[tuple[int, int, int], ...]:
        found = [path.stat() for path in self._files]
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context
