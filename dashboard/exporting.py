"""The export of a person as a download, through a route of our own.

`st.download_button` would lay the file at a media address that answers without a cookie. Here the session's cookie is checked,
the person's right, and that the request comes from a page of ours, since each export is audited; nothing is kept.
"""

from __future__ import annotations

import html

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from backend.client import BackendClient
from dashboard import failures, ids
from dashboard.parts import Parts
from dashboard.roles import Right, may
from dashboard.sessions import COOKIE, Person
from dashboard.sign_in import same_origin
from dashboard.signing import BACKEND

EXPORT = "/export/{subject_id}"
REFUSED = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Export</title>
<body style="font-family:sans-serif;margin:3rem"><p role="alert">{sentence}</p>
<p><a href="/subjects">Back to the subjects</a></p>"""


def path(subject_id: str) -> str:
    return EXPORT.format(subject_id=subject_id)


def routes(parts: Parts) -> list[Route]:
    async def export(request: Request) -> Response:
        return await _export(parts, request)

    return [Route(EXPORT, export, methods=["POST"])]


async def _export(parts: Parts, request: Request) -> Response:
    person = parts.sessions.read(request.cookies.get(COOKIE), parts.now())
    if person is None:
        return _refusal("Sign in first.", 401)
    if not same_origin(request):
        return _refusal("This request comes from another site.", 403)
    if not may(person.roles, Right.export):
        return _refusal("Your role may not export a person.", 403)
    if not ids.may_be_ours(request.path_params["subject_id"]):
        return _refusal("There is no such subject.", 404)
    try:
        document = await run_in_threadpool(_ask, parts, person, request.path_params["subject_id"])
    except failures.REFUSED as error:
        return _refusal(failures.sentence(error), error.status)
    except failures.AWAY as error:
        return _refusal(failures.sentence(error), 502)
    headers = {
        "Content-Disposition": 'attachment; filename="export.json"',
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(document, media_type="application/json", headers=headers)


def _ask(parts: Parts, person: Person, subject_id: str) -> bytes:
    """With a token of this person: the client of the pages speaks for whoever's page is running, and here none is."""
    settings = parts.settings
    token = parts.signer.mint(person, BACKEND, parts.now())
    with BackendClient(
        settings.backend_urls, token=token, ca_file=settings.ca_file, timeout=settings.backend_timeout_s
    ) as backend:
        return backend.export_subject(subject_id)


def _refusal(sentence: str, status: int) -> Response:
    return HTMLResponse(REFUSED.format(sentence=html.escape(sentence)), status_code=status, headers={"Cache-Control": "no-store"})
