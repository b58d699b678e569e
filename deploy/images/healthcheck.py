"""Exit status 0 when a URL of this container answers 200: `python healthcheck.py URL [CA SERVER_NAME]`. Standard library only."""

from __future__ import annotations

import http.client
import socket
import ssl
import sys
from urllib.parse import urlsplit

DEADLINE_S = 4.0


def status(url: str, ca: str | None = None, server_name: str | None = None) -> int:
    """The answer's status. With `https` the certificate is verified against `ca` and for `server_name`."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    plain = socket.create_connection((parts.hostname or "127.0.0.1", port), timeout=DEADLINE_S)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", port, timeout=DEADLINE_S)
    if parts.scheme == "https":
        connection.sock = ssl.create_default_context(cafile=ca).wrap_socket(plain, server_hostname=server_name)
    else:
        connection.sock = plain
    try:
        connection.request("GET", parts.path or "/", headers={"Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()


def main() -> int:
    try:
        return 0 if status(*sys.argv[1:]) == 200 else 1
    except OSError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
