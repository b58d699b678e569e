"""Every route against every key and every role: who is let in, who is told why not."""

from __future__ import annotations

import pytest

from backend.wire import Scope
from tests.api.service import Service, problem_of

EVERYBODY_BUT_VIEWER = "client operator reviewer supervisor admin"
REVIEW = "reviewer supervisor admin"
WATCH = "viewer operator reviewer supervisor admin"

# method, path, who may, whether only people may
ROUTES = [
    ("POST", "/v1/subjects", "client operator admin", False),
    ("POST", "/v1/subjects/batch", "client operator admin", False),
    ("POST", "/v1/subjects/sub_x/samples", "client operator admin", False),
    ("POST", "/v1/detect", EVERYBODY_BUT_VIEWER, False),
    ("POST", "/v1/verify", EVERYBODY_BUT_VIEWER, False),
    ("POST", "/v1/identify", EVERYBODY_BUT_VIEWER, False),
    ("GET", "/v1/subjects", EVERYBODY_BUT_VIEWER, False),
    ("GET", "/v1/subjects/sub_x", EVERYBODY_BUT_VIEWER, False),
    ("PATCH", "/v1/subjects/sub_x", "client operator admin", False),
    ("DELETE", "/v1/subjects/sub_x", "client supervisor admin", False),
    ("GET", "/v1/subjects/sub_x/export", "supervisor admin", False),
    ("DELETE", "/v1/subjects/sub_x/samples/smp_x", "client supervisor admin", False),
    ("GET", "/v1/subjects/sub_x/samples/smp_x/image", REVIEW, False),
    ("GET", "/v1/duplicates", REVIEW, False),
    ("GET", "/v1/duplicates/numbers", "supervisor admin", False),
    ("GET", "/v1/duplicates/codes", REVIEW, False),
    ("GET", "/v1/duplicates/case_x", REVIEW, False),
    ("POST", "/v1/duplicates", REVIEW, True),
    ("POST", "/v1/duplicates/bulk/preview", REVIEW, True),
    ("POST", "/v1/duplicates/bulk", REVIEW, True),
    ("POST", "/v1/duplicates/bulk/bulk_x/undo", REVIEW, True),
    ("POST", "/v1/duplicates/next", REVIEW, True),
    ("POST", "/v1/duplicates/case_x/claim", REVIEW, True),
    ("POST", "/v1/duplicates/case_x/heartbeat", REVIEW, True),
    ("POST", "/v1/duplicates/case_x/release", REVIEW, True),
    ("POST", "/v1/duplicates/case_x/decide", REVIEW, True),
    ("POST", "/v1/duplicates/case_x/undo", REVIEW, True),
    ("POST", "/v1/duplicates/case_x/takeover", "supervisor admin", True),
    ("GET", "/v1/stats", WATCH, False),
    ("GET", "/v1/fleet/self", WATCH, False),
    ("POST", "/v1/fleet/self/drain", "operator admin", False),
    ("POST", "/v1/fleet/self/return", "operator admin", False),
    ("GET", "/v1/keys", "admin", False),
    ("POST", "/v1/keys", "admin", False),
    ("PATCH", "/v1/keys/key_x", "admin", False),
    ("DELETE", "/v1/keys/key_x", "admin", False),
    ("POST", "/v1/scans", "operator supervisor admin", False),
    ("GET", "/v1/scans", "operator reviewer supervisor admin", False),
    ("GET", "/v1/scans/plan", "operator reviewer supervisor admin", False),
    ("GET", "/v1/scans/scan_x", "operator reviewer supervisor admin", False),
    ("POST", "/v1/scans/scan_x/cancel", "operator supervisor admin", False),
    ("POST", "/v1/scans/scan_x/resume", "operator supervisor admin", False),
    ("GET", "/v1/calibration", WATCH, False),
    ("POST", "/v1/calibration/simulate", "operator supervisor admin", False),
    ("GET", "/v1/audit", "supervisor admin", False),
    ("GET", "/v1/audit/head", WATCH, False),
    ("GET", "/v1/audit/verification", "supervisor admin", False),
]
ROLES = [Scope.operator, Scope.reviewer, Scope.supervisor, Scope.admin]


def test_the_table_covers_every_route_of_the_description(service: Service) -> None:
    paths = service.get("/openapi.json").json()["paths"]
    described = {
        (method.upper(), path)
        for path, methods in paths.items()
        for method in methods
        if path not in ("/health", "/live", "/ready", "/metrics")
    }
    names = {"sub": "subject", "smp": "sample", "case": "case", "key": "key", "scan": "scan", "bulk": "bulk"}
    placeholders = {f"{short}_x": f"{{{name}_id}}" for short, name in names.items()}
    tabled = set()
    for method, path, _, _ in ROUTES:
        for example, name in placeholders.items():
            path = path.replace(example, name)
        tabled.add((method, path))
    assert described == tabled


@pytest.mark.parametrize(("method", "path", "allowed", "people_only"), ROUTES)
def test_each_route_lets_in_whom_it_should(service: Service, method: str, path: str, allowed: str, people_only: bool) -> None:
    body = {"nothing": "of use"} if method in ("POST", "PATCH") else None
    for scope in Scope:
        answer = service.request(method, path, service.site.key(scope), body)
        if people_only:
            assert (answer.status_code, problem_of(answer)) == (403, "person_needed"), scope
        else:
            assert (answer.status_code != 403) == (scope in allowed.split()), f"a key with {scope}: {answer.status_code}"
    for role in ROLES:
        answer = service.request(method, path, service.site.dashboard.token(role), body)
        assert (answer.status_code != 403) == (role in allowed.split()), f"a person as {role}: {answer.status_code}"
        if answer.status_code == 403:
            assert problem_of(answer) == "forbidden"


@pytest.mark.parametrize(("method", "path", "allowed", "people_only"), ROUTES)
def test_nobody_is_let_in_unnamed(service: Service, method: str, path: str, allowed: str, people_only: bool) -> None:
    for token in (None, "fa_0_x", "hello", service.site.dashboard.token("admin", aud="face-auth-monitor")):
        answer = service.request(method, path, token, {})
        assert (answer.status_code, problem_of(answer)) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_revoked_key_is_refused_at_once_and_an_expired_one_too(service: Service) -> None:
    with service.client(service.site.key("admin")) as admin:
        key = admin.create_key("short-lived", [Scope.client])
        assert service.get("/v1/subjects", key.secret).status_code == 200
        assert admin.revoke_key(key.id).revoked_at is not None
        assert service.get("/v1/subjects", key.secret).status_code == 401
        assert key.id in {one.id for one in admin.api_keys()}


def test_what_was_done_stands_in_the_audit_trail_with_its_actor(service: Service) -> None:
    with service.client(service.site.key("admin")) as admin:
        key = admin.create_key("audited", [Scope.client])
        event = next(one for one in admin.audit(limit=10).items if one.object_id == key.id)
    assert event.action == "key.create"
    assert event.actor.startswith("key_")
    assert key.secret not in str(event)
