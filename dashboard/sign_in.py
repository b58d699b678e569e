"""Signing in and out: plain HTML and two routes beside Streamlit's, working without JavaScript.

A form from another site is refused by its Origin; a name or an address that failed too often has to wait.
"""

from __future__ import annotations

import hashlib
import html
import logging
import math
from base64 import b64encode
from functools import cache
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from dashboard import browsers
from dashboard.parts import Parts
from dashboard.sessions import COOKIE, Person
from dashboard.users import NAME

SIGN_IN = "/sign-in"
SIGN_OUT = "/sign-out"
MAX_FORM_BYTES = 8_192
HASHES_AT_ONCE = 4
"""Passwords that are looked at side by side: each takes 64 MiB."""

log = logging.getLogger(__name__)


def routes(parts: Parts) -> list[Route]:
    hashing = CapacityLimiter(HASHES_AT_ONCE)

    async def sign_in(request: Request) -> Response:
        return await _sign_in(parts, request, hashing)

    async def sign_out(request: Request) -> Response:
        return await _sign_out(parts, request)

    return [Route(SIGN_IN, sign_in, methods=["GET", "POST"]), Route(SIGN_OUT, sign_out, methods=["POST"])]


def own_path(wanted: str) -> str:
    """`wanted` where it is a path of this site, else the start page: a sign-in never leads elsewhere."""
    parts = urlsplit(wanted)
    foreign = (
        parts.scheme or parts.netloc or not wanted.startswith("/") or wanted.startswith(("//", "/\\")) or not wanted.isprintable()
    )
    return "/" if foreign or parts.path in (SIGN_IN, SIGN_OUT) else wanted


def same_origin(request: Request) -> bool:
    """Whether a form comes from a page of ours: browsers send Origin with every POST."""
    origin = request.headers.get("origin")
    if origin is None:
        return request.headers.get("sec-fetch-site") == "same-origin"
    return urlsplit(origin).netloc == request.headers.get("host")


def set_cookie(parts: Parts, response: Response, person: Person, *, secure: bool) -> None:
    response.set_cookie(
        COOKIE,
        parts.sessions.cookie(person),
        max_age=parts.sessions.max_age_s(person, parts.now()),
        path="/",
        httponly=True,
        samesite="strict",
        secure=secure,
    )


def _remember_browser(parts: Parts, response: Response, name: str, *, secure: bool) -> None:
    response.set_cookie(
        browsers.COOKIE,
        parts.browsers.cookie(name),
        max_age=browsers.GOOD_FOR_S,
        path=SIGN_IN,
        httponly=True,
        samesite="strict",
        secure=secure,
    )


async def _sign_in(parts: Parts, request: Request, hashing: CapacityLimiter) -> Response:
    if request.method != "POST":
        person = parts.sessions.read(request.cookies.get(COOKIE), parts.now())
        notice = f"You are signed in as {person.name}. Signing in again changes who you are." if person else ""
        return _page(parts, next_path=own_path(request.query_params.get("next", "/")), notice=notice)
    if not same_origin(request):
        return _page(parts, status=403, bad=True, notice="This form came from another site. Sign in here.")
    if int(request.headers.get("content-length") or MAX_FORM_BYTES + 1) > MAX_FORM_BYTES:
        return _page(parts, status=413, bad=True, notice="That is too long for a name and a password.")
    form = await request.form()
    name, password = str(form.get("name", "")).strip().lower(), str(form.get("password", ""))
    next_path = own_path(str(form.get("next", "/")))
    address = request.client.host if request.client else "unknown"
    browser = parts.browsers.known(request.cookies.get(browsers.COOKIE), name)
    counted = name if NAME.fullmatch(name) else "?"  # nobody is called so, and what is remembered stays short
    wait = parts.attempts.begin(counted, address, parts.now(), browser=browser)
    if wait > 0:
        log.warning("Sign-in refused: too many attempts")
        answer = _page(parts, status=429, bad=True, name=name, next_path=next_path, notice=_wait_sentence(wait))
        answer.headers["Retry-After"] = str(math.ceil(wait))
        return answer
    user = await to_thread.run_sync(parts.users.authenticate, name, password, limiter=hashing)
    if user is None:
        log.warning("Sign-in failed")
        return _page(parts, status=401, bad=True, name=name, next_path=next_path, notice="The name or the password is wrong.")
    parts.attempts.succeeded(counted, address, browser=browser)
    response = RedirectResponse(next_path, status_code=303)
    secure = request.url.scheme == "https"
    set_cookie(parts, response, parts.sessions.begin(user, parts.now()), secure=secure)
    _remember_browser(parts, response, name, secure=secure)
    log.info("Signed in")
    return response


async def _sign_out(parts: Parts, request: Request) -> Response:
    if not same_origin(request):
        return _page(parts, status=403, bad=True, notice="This form came from another site. Nothing was changed.")
    person = parts.sessions.read(request.cookies.get(COOKIE), parts.now())
    if person is not None:
        try:
            await run_in_threadpool(parts.sessions.end, person, parts.now())
        except OSError as error:
            log.error("The users file cannot be written: this sign-out is forgotten when the dashboard restarts (%s)", error)
    response = RedirectResponse(SIGN_IN, status_code=303)
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=request.url.scheme == "https")
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _wait_sentence(wait_s: float) -> str:
    minutes = math.ceil(wait_s / 60)
    return f"Too many attempts. Try again in {minutes} minute{'s' if minutes > 1 else ''}."


def _page(
    parts: Parts, *, status: int = 200, notice: str = "", bad: bool = False, name: str = "", next_path: str = "/"
) -> HTMLResponse:
    template, style, policy = _assets()
    said = f'<p class="notice{" bad" if bad else ""}" role="{"alert" if bad else "status"}">{html.escape(notice)}</p>'
    text = template.substitute(
        style=style,
        action=SIGN_IN,
        notice=said if notice else "",
        next=html.escape(next_path),
        name=html.escape(name),
        focus_name="" if name else "autofocus",
        focus_password="autofocus" if name else "",
        idle=f"{parts.settings.session_idle_minutes:g}",
        longest=f"{parts.settings.session_max_hours:g}",
    )
    return HTMLResponse(text, status_code=status, headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"})


@cache
def _assets() -> tuple[Template, str, str]:
    """The page, its style, and a policy that allows this style and nothing else."""
    folder = Path(__file__).parent
    style = folder.joinpath("sign_in.css").read_text("utf-8")
    digest = b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    allowed = f"style-src 'sha256-{digest}'; img-src data:; form-action 'self'"
    policy = f"default-src 'none'; {allowed}; frame-ancestors 'none'; base-uri 'none'"
    return Template(folder.joinpath("sign_in.html").read_text("utf-8")), style, policy
