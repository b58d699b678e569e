"""The door before Streamlit: nothing but its assets and its health is served to anybody who is not signed in.

A host name that is not ours is refused before anything else (Streamlit asks only when a websocket opens): a page under a
stranger's name that leads to our address must not have its forms taken for ours. Page loads renew the cookie (a page that is
open cannot) and carry the headers that a browser needs to protect them.
"""

from __future__ import annotations

from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.parts import Parts
from dashboard.sessions import COOKIE, Person
from dashboard.sign_in import SIGN_IN, SIGN_OUT, set_cookie

HEALTH = "/_stcore/health"
"""Whoever probes it knows our address and not our name."""
OPEN = frozenset({SIGN_IN, SIGN_OUT, HEALTH, "/_stcore/host-config", "/favicon.png", "/favicon.ico"})
ASSETS = "/static/"
INNER = ("/_stcore/", "/assets/", "/media/", "/component/", "/app/static/")
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


class Gate:
    """ASGI middleware. Websockets without a session are refused before they open."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._parts = parts
        hosts = list(parts.settings.allowed_hosts) or ["*"]
        self._under_our_name = TrustedHostMiddleware(self._admit, allowed_hosts=hosts, www_redirect=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif scope["path"] == HEALTH:
            await self._admit(scope, receive, _with_headers(send))
        else:
            await self._under_our_name(scope, receive, _with_headers(send))

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        path = connection.url.path
        if path in OPEN or path.startswith(ASSETS):
            await self._app(scope, receive, send)
            return
        person = self._parts.sessions.read(connection.cookies.get(COOKIE), self._parts.now())
        if scope["type"] == "websocket":
            await (self._app(scope, receive, send) if person else send({"type": "websocket.close", "code": 1008}))
        elif person is None:
            await _refusal(connection)(scope, receive, send)
        elif path.startswith(INNER):
            await self._app(scope, receive, send)
        else:
            await self._app(scope, receive, self._page_load(connection, person, send))

    def _page_load(self, connection: HTTPConnection, person: Person, send: Send) -> Send:
        person = self._parts.sessions.touch(person, self._parts.now())
        renewed = Response()
        set_cookie(self._parts, renewed, person, secure=connection.url.scheme == "https")
        policy = "frame-ancestors 'none'; base-uri 'self'; form-action 'self'; object-src 'none'"
        return _with_headers(
            send, {"Set-Cookie": renewed.headers["set-cookie"], "Cache-Control": "no-store", "Content-Security-Policy": policy}
        )


def _refusal(connection: HTTPConnection) -> Response:
    path = connection.url.path
    if connection.scope["method"] not in ("GET", "HEAD") or path.startswith(INNER):
        return PlainTextResponse("Sign in first.", status_code=401)
    wanted = path + (f"?{connection.url.query}" if connection.url.query else "")
    target = SIGN_IN if wanted == "/" else f"{SIGN_IN}?next={quote(wanted)}"
    return RedirectResponse(target, status_code=303, headers={"Cache-Control": "no-store"})


def _with_headers(send: Send, more: dict[str, str] | None = None) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            for name, value in (more or {}).items():
                if name == "Set-Cookie":
                    headers.append(name, value)
                else:
                    headers[name] = value
        await send(message)

    return sending
