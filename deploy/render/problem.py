"""The balancer's own refusals, in the form of the backend's: RFC 9457 problem documents."""

from __future__ import annotations

import json
from dataclasses import dataclass

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True)
class Refusal:
    status: int
    code: str
    title: str
    detail: str
    retry_after_s: int | None = None

    @property
    def body(self) -> str:
        """Without quotes or dollar signs of its own, so that it can stand in both balancers' files."""
        return json.dumps(
            {
                "type": f"urn:face-auth:problem:{self.code}",
                "title": self.title,
                "status": self.status,
                "detail": self.detail,
                "code": self.code,
            }
        )


def refusals(largest_body_mb: int) -> list[Refusal]:
    return [
        Refusal(404, "not_found", "Nothing here", "The API is below /v1/, its description at /docs"),
        Refusal(411, "length_required", "The request does not say how long it is", "Send it with a Content-Length"),
        Refusal(413, "body_too_large", "The request is too large", f"Send at most {largest_body_mb} MiB in one request"),
        Refusal(429, "too_many_requests", "Too many requests from this address", "Slow down, then repeat the request", 1),
        Refusal(
            502, "bad_gateway", "No backend answered", "Repeat the request, with the same Idempotency-Key where it had one", 2
        ),
        Refusal(503, "not_ready", "No backend is ready", "Repeat the request a little later", 2),
        Refusal(504, "gateway_timeout", "The backends took too long", "Repeat the request, with the same Idempotency-Key", 2),
    ]
