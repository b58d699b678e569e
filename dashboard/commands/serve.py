"""`python -m dashboard serve`: the web server."""

from __future__ import annotations

import argparse
import json
import logging
import sys

from pydantic import ValidationError

from dashboard import settings as configuration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on (default: 8501)")


def run(options: argparse.Namespace) -> int:
    from dashboard.app import serve  # Streamlit takes a second to import: the other commands do without
    from dashboard.signing import SigningKeyError
    from dashboard.users import Users

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = configuration.load(host=options.host, port=options.port)
        if settings.cookie_secret is None:
            logging.getLogger(__name__).warning("No DASHBOARD_COOKIE_SECRET: a restart will end every session")
        if not Users(settings.users_file).all():
            logging.getLogger(__name__).warning("Nobody may sign in yet: `python -m dashboard users add NAME --role admin`")
        url = f"{'https' if settings.tls_cert_file else 'http'}://{settings.host}:{settings.port}"
        print(json.dumps({"url": url}) if options.json else f"The dashboard is at {url}", flush=True)
        serve(settings)
    except (ValidationError, configuration.UnknownSetting, SigningKeyError) as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return 2
    return 0
