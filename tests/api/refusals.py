"""Bad requests to a running service, and what each is answered: `make refusals-test`.

Every one is sent over HTTP. A few that look alike and are good stand among them, so that a service that refuses all would fail.
"""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx

from backend import wire
from backend.wire import Scope, Verdict
from tests.api.forged_tokens import forged_tokens, minted
from tests.api.pictures import group, same_woman, woman
from tests.api.service import Service, make_site, serving

PATH = "/v1/subjects"
UNAUTHENTICATED = "401 unauthenticated"


@dataclass(frozen=True)
class Refusal:
    """`wanted` and `got`: the status, and the code of the problem document where there is one."""

    what: str
    wanted: str
    got: str

    @property
    def right(self) -> bool:
        return self.wanted == self.got


@dataclass
class Sender:
    service: Service

    def __call__(
        self, what: str, wanted: str, method: str, path: str, token: str | None, body: object = None, **headers: str
    ) -> Refusal:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Refusal(what, wanted, got(self.service.request(method, path, token, body, **named)))

    def person(self, name: str, *roles: str) -> str:
        return self.service.site.dashboard.token(*roles, name=name)


def got(answer: httpx.Response) -> str:
    """Also says what is wrong with the form of a refusal: each is a problem document, and a 401 alone has a challenge."""
    if (answer.headers.get("www-authenticate") == "Bearer") != (answer.status_code == 401):
        return f"{answer.status_code} with a wrong challenge"
    if answer.status_code < 400:
        return str(answer.status_code)
    if not answer.headers["content-type"].startswith("application/problem+json"):
        return f"{answer.status_code} without a problem document"
    return f"{answer.status_code} {answer.json()['code']}"


# --- tokens of people ---------------------------------------------------------------------------------------------


def tokens(send: Sender) -> Iterator[Refusal]:
    dashboard = send.service.site.dashboard
    for what, token in forged_tokens(dashboard).items():
        yield send(f"token: {what}", UNAUTHENTICATED, "GET", PATH, token)
    now = int(time.time())
    good = dashboard.token("admin")
    accepted = {
        "a good one": good,
        "minted by the dashboard now": minted(dashboard, at=now),
        "of a clock 20 s ahead": dashboard.token("admin", iat=now + 20, nbf=now + 20, exp=now + 320),
        "of a clock 20 s behind": dashboard.token("admin", iat=now - 320, exp=now - 20),
    }
    for what, token in accepted.items():
        yield send(f"token: {what}", "200", "GET", PATH, token)
    yield send("token: of a role that does not exist", "403 forbidden", "GET", PATH, dashboard.token("emperor"))
    yield send("token: of no role", "403 forbidden", "GET", PATH, dashboard.token())
    yield send("token: of a scope that is for keys", "403 forbidden", "GET", PATH, dashboard.token("client"))
    yield send("token: in the query", UNAUTHENTICATED, "GET", f"{PATH}?access_token={good}", None)
    yield send("token: in a cookie", UNAUTHENTICATED, "GET", PATH, None, Cookie=f"token={good}")
    yield send("token: under another scheme", UNAUTHENTICATED, "GET", PATH, None, Authorization=f"Basic {good}")
    yield send("token: of no scheme", UNAUTHENTICATED, "GET", PATH, None, Authorization=good)
    yield send("token: an empty one", UNAUTHENTICATED, "GET", PATH, None, Authorization="Bearer")
    http, url = send.service.http, send.service.url
    twice = [("Authorization", f"Bearer {good}"), ("Authorization", f"Bearer {send.service.site.key('client')}")]
    yield Refusal("token: two Authorization headers", "400 bad_request", got(http.get(url + PATH, headers=twice)))
    foreign = [(b"Authorization", b"Bearer \xff\xfe\xe9")]
    yield Refusal("token: bytes that are no ASCII", UNAUTHENTICATED, got(http.get(url + PATH, headers=foreign)))
    endless = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {'x' * 70_000}"
    yield Refusal("token: a header of 70,000 bytes", "400", _raw(url, endless))


def _raw(url: str, request: str) -> str:
    """The status of what no HTTP client would send; it is answered before a request is understood, so without a document."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(request.encode("latin-1"))
        return connection.recv(100).split(b" ")[1].decode("ascii")


# --- keys of machines ---------------------------------------------------------------------------------------------


def keys(send: Sender) -> Iterator[Refusal]:
    site = send.service.site
    admin = send.service.client(site.key("admin"))
    revoked = admin.create_key("revoked", [Scope.admin])
    yield send("key: a good one", "200", "GET", PATH, revoked.secret)
    admin.revoke_key(revoked.id)
    yield send("key: revoked a moment ago", UNAUTHENTICATED, "GET", PATH, revoked.secret)
    expired = admin.create_key("expired", [Scope.admin], expires_at=datetime.now(UTC) - timedelta(seconds=1))
    yield send("key: expired", UNAUTHENTICATED, "GET", PATH, expired.secret)
    alive = admin.create_key("alive", [Scope.client]).secret
    other = alive[:-43] + ("A" if alive[-43] != "A" else "B") + alive[-42:]
    yield send("key: the right id, another secret", UNAUTHENTICATED, "GET", PATH, other)
    yield send("key: another id, the right secret", UNAUTHENTICATED, "GET", PATH, revoked.secret[:36] + alive[36:])
    yield send("key: its id alone", UNAUTHENTICATED, "GET", PATH, alive[:-44])
    yield send("key: something behind it", UNAUTHENTICATED, "GET", PATH, f"{alive}A")
    yield send("key: in the query", UNAUTHENTICATED, "GET", f"{PATH}?api_key={alive}", None)
    yield send("key: as a header of its own", UNAUTHENTICATED, "GET", PATH, None, X_API_Key=alive)
    master, old = site.key("admin"), f"/v1/keys/{expired.id}"
    slow = admin.create_key("slow", [Scope.client], rate_per_minute=1).secret
    yield send("key: within its limit", "200", "GET", PATH, slow)
    yield send("key: over its limit", "429 rate_limited", "GET", PATH, slow)
    yield send("key: over its limit, marked as demo traffic", "429 rate_limited", "GET", PATH, slow, X_Synthetic="1")
    yield send(
        "key: an actor named in a header",
        "403 person_needed",
        "POST",
        "/v1/duplicates/next",
        master,
        X_Actor="usr_ada",
    )
    yield send(
        "key: a limit below nought",
        "422 invalid_request",
        "PATCH",
        old,
        master,
        {"rate_per_minute": -1},
    )
    yield send(
        "key: other scopes for an old one",
        "422 invalid_request",
        "PATCH",
        old,
        master,
        {"scopes": ["admin"]},
    )
    yield send("key: no scope", "422 invalid_request", "POST", "/v1/keys", master, {"name": "n", "scopes": []})
    yield send("key: one that is not there", "404 key_not_found", "DELETE", "/v1/keys/key_none", master)


# --- cases --------------------------------------------------------------------------------------------------------


def cases(send: Sender) -> Iterator[Refusal]:
    """With second reviews on: Anna and Bert review, Susi and Tom supervise."""
    client = send.service.client(send.service.site.key("client"))
    older = client.enrol([woman()]).subject_id
    case_id = client.enrol([same_woman()]).case_id
    assert case_id is not None
    stranger = client.enrol([group()], face=wire.FaceChoice.largest).subject_id
    path = f"/v1/duplicates/{case_id}"
    anna, bert = send.person("anna", "reviewer"), send.person("bert", "reviewer")
    susi, tom = send.person("susi", "supervisor"), send.person("tom", "supervisor")
    version = send.service.client(anna).claim(case_id).version

    def decision(**changes: object) -> dict[str, object]:
        return {"verdict": "same", "survivor_id": older, "version": version} | changes

    def post(what: str, wanted: str, verb: str, token: str, body: object = None) -> Refusal:
        return send(f"case: {what}", wanted, "POST", f"{path}/{verb}", token, body)

    yield from _by_keys(send, path, decision())
    yield post("claim what another holds", "409 lease_held", "claim", bert)
    yield post("decide what another holds", "409 lease_held", "decide", bert, decision())
    yield post("undo in what another holds", "409 lease_held", "undo", bert, {"version": version})
    yield post("heartbeat of another's claim", "409 lease_lost", "heartbeat", bert)
    yield post("release another's claim", "409 lease_lost", "release", bert)
    yield post("take over as a reviewer", "403 forbidden", "takeover", bert)
    for stale in (version - 1, version + 1):
        when = "before" if stale < version else "after"
        yield post(f"claim the version {when}", "409 version_conflict", "claim", anna, {"version": stale})
        yield post(f"decide the version {when}", "409 version_conflict", "decide", anna, decision(version=stale))
        yield post(f"undo in the version {when}", "409 version_conflict", "undo", anna, {"version": stale})
    yield post("decide without a version", "422 invalid_request", "decide", anna, {"verdict": "different"})
    yield post("a survivor of nowhere", "422 survivor_not_in_case", "decide", anna, decision(survivor_id="sub_x"))
    yield post(
        "a survivor of another case",
        "422 survivor_not_in_case",
        "decide",
        anna,
        decision(survivor_id=stranger),
    )
    yield post("the same, and no survivor", "422 survivor_not_in_case", "decide", anna, decision(survivor_id=None))
    yield post("a verdict of no kind", "422 invalid_request", "decide", anna, decision(verdict="maybe"))
    yield post("undo where nothing is decided", "409 case_state_conflict", "undo", anna, {"version": version})
    yield send("case: one that is not there", "404 case_not_found", "POST", "/v1/duplicates/case_x/claim", anna)
    yield post("decided by its holder", "200", "decide", anna, decision())

    version = send.service.client(susi).case(case_id).version
    yield post("second review by the first", "403 forbidden", "claim", anna)
    yield post("the second decision by the first", "403 forbidden", "decide", anna, decision(version=version))
    yield post(
        "the second decision",
        "200",
        "decide",
        tom,
        decision(verdict="different", survivor_id=None, version=version),
    )

    version = send.service.client(susi).case(case_id).version
    yield post("arbitration by a reviewer", "403 forbidden", "decide", bert, decision(version=version))
    yield post(
        "arbitration by the first of two",
        "403 forbidden",
        "decide",
        send.person("anna", "supervisor"),
        decision(version=version),
    )
    yield post("arbitration by the second of two", "403 forbidden", "decide", tom, decision(version=version))
    yield post("taken over by the second of two", "403 forbidden", "takeover", tom)
    yield post("arbitration by a third", "200", "decide", susi, decision(version=version))

    case = send.service.client(susi).case(case_id)
    judged = [one.verdict for one in case.decisions]
    assert judged == [Verdict.same, Verdict.different, Verdict.same], "what was refused left a trace"
    assert case.state is wire.CaseState.resolved
    yield post("decide what is resolved", "409 case_state_conflict", "decide", bert, decision(version=case.version))
    yield post("claim what is resolved", "409 case_state_conflict", "claim", bert)
    yield post("undo an arbitration as a reviewer", "403 forbidden", "undo", bert, {"version": case.version})
    yield send("case: next where none waits", "404 nothing_to_review", "POST", "/v1/duplicates/next", bert)


def _by_keys(send: Sender, path: str, decision: object) -> Iterator[Refusal]:
    for scope in (Scope.reviewer, Scope.supervisor, Scope.admin):
        key = send.service.site.key(scope)
        for verb in ("claim", "heartbeat", "release", "takeover", "decide", "undo"):
            yield send(f"case: {verb} by a key of {scope}", "403 person_needed", "POST", f"{path}/{verb}", key, decision)


# --- subjects, scans, form ----------------------------------------------------------------------------------------


def subjects(send: Sender) -> Iterator[Refusal]:
    key, admin = send.service.site.key("client"), send.service.site.key("admin")
    client = send.service.client(key)
    page = client.subjects().items
    one = client.subject(page[-1].id)
    path, change = f"{PATH}/{one.id}", {"metadata": {"shelf": "7"}}
    yield send("subject: changed without If-Match", "200", "PATCH", path, key, change)
    stale = f'"{one.version}"'
    yield send("subject: changed with a stale If-Match", "412 precondition_failed", "PATCH", path, key, change, If_Match=stale)
    yield send(
        "subject: changed with If-Match of no version", "412 precondition_failed", "PATCH", path, key, change, If_Match="W/x"
    )
    yield send("subject: erased with a stale If-Match", "412 precondition_failed", "DELETE", path, key, If_Match=stale)
    yield send("subject: one that is not there", "404 subject_not_found", "GET", f"{PATH}/sub_x", key)
    yield send("subject: a cursor of nobody", "400 bad_cursor", "GET", f"{PATH}?cursor=x", key)
    yield send("subject: a page of ten thousand", "422 invalid_request", "GET", f"{PATH}?limit=10000", key)
    yield send("subject: a field of no name", "422 invalid_request", "PATCH", path, key, {"merged_into": "sub_x"})
    yield send("subject: a change that is no object", "422 invalid_request", "PATCH", path, key, ["x"])
    yield send("subject: its picture for a client", "403 forbidden", "GET", f"{path}/samples/smp_x/image", key)
    url, http = send.service.url + path, send.service.http
    bearer = {"Authorization": f"Bearer {key}"}
    broken = http.patch(url, content=b'{"metadata": ', headers={**bearer, "Content-Type": "application/json"})
    yield Refusal("subject: a body that breaks off", "400 invalid_json", got(broken))
    form = http.patch(url, content=b"a=b", headers={**bearer, "Content-Type": "application/x-www-form-urlencoded"})
    yield Refusal("subject: a body that is a form", "415 unsupported_media_type", got(form))
    yield send("a path of nothing", "404 not_found", "GET", "/v1/nothing", admin)
    yield send("a method that is none of the path's", "405 method_not_allowed", "PUT", path, admin, {})


def repeats(send: Sender) -> Iterator[Refusal]:
    admin = send.service.site.key("admin")
    scan, key = {"dry_run": True}, {"name": "repeated", "scopes": ["client"]}
    sent = {"Idempotency_Key": "once"}
    yield send("repeat: a key made", "201", "POST", "/v1/keys", admin, key, **sent)
    yield send("repeat: the same key again", "201", "POST", "/v1/keys", admin, key, **sent)
    other = key | {"scopes": ["admin"]}
    yield send("repeat: with another body", "422 idempotency_key_reused", "POST", "/v1/keys", admin, other, **sent)
    yield send("repeat: to another path", "422 idempotency_key_reused", "POST", "/v1/scans", admin, scan, **sent)
    yield send("repeat: a key of 201 letters", "422 invalid_request", "POST", "/v1/keys", admin, key, Idempotency_Key="x" * 201)
    sent = {"Idempotency_Key": "scan"}
    yield send("repeat: a scan begun", "201", "POST", "/v1/scans", admin, scan, **sent)
    yield send("repeat: the same scan again", "201", "POST", "/v1/scans", admin, scan, **sent)
    api = send.service.client(admin)
    assert [one.name for one in api.api_keys()].count("repeated") == 1
    assert len(api.scans().items) == 1
    yield send("scan: a threshold of no sense", "400 invalid_threshold", "POST", "/v1/scans", admin, {"threshold": 7})
    yield send("scan: one that is not there", "404 scan_not_found", "POST", "/v1/scans/scan_x/cancel", admin)


def every_refusal(folder: Path) -> Iterator[Refusal]:
    with serving(make_site(folder / "site"), BACKEND_SECOND_REVIEW="all") as service:
        send = Sender(service)
        for part in (tokens, keys, cases, subjects, repeats):
            yield from part(send)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="face-auth-") as folder:
        found = []
        for one in every_refusal(Path(folder)):
            found.append(one)
            print(f"{'  ' if one.right else '! '}{one.what:52} {one.got}{'' if one.right else f', not {one.wanted}'}")
    refused = sum(not one.wanted.startswith("2") for one in found)
    wrong = sum(not one.right for one in found)
    print(f"refused={refused} wrong={wrong}")
    return 1 if wrong or not refused else 0


if __name__ == "__main__":
    sys.exit(main())
