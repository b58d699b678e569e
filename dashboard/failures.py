"""What went wrong, as a sentence for the person at the screen; foreign errors are told apart here and nowhere else."""

from __future__ import annotations

from backend import client as backend_client
from dashboard import prometheus
from monitor import client as monitor_client

REFUSED = (backend_client.ProblemError, monitor_client.ProblemError, prometheus.Refused)
AWAY = (backend_client.Unreachable, monitor_client.Unreachable, prometheus.Unreachable)
FAILURES = (*REFUSED, *AWAY)


def sentence(error: Exception) -> str:
    """The API's own `detail` where it explained itself."""
    if isinstance(error, backend_client.ProblemError):
        # the balancer's own answers say in their titles what is wrong, and in their details what to do
        what = f"{_ended(error.title)} " if error.status in (502, 503, 504) and error.title else ""
        return what + _ended(error.detail) + (f" Request {error.request_id}." if error.status == 500 and error.request_id else "")
    if isinstance(error, monitor_client.ProblemError):
        return _ended(error.detail)
    if isinstance(error, backend_client.Unreachable):
        return f"No backend can be reached ({', '.join(error.causes)})."
    if isinstance(error, monitor_client.Unreachable):
        return f"The monitor cannot be reached ({error.url})."
    if isinstance(error, prometheus.Refused):
        return _ended(f"Prometheus refuses the question: {error.detail}")
    if isinstance(error, prometheus.Unreachable):
        return f"Prometheus cannot be reached ({error.url})."
    raise TypeError(f"not a failure of an API: {type(error).__name__}") from error


def is_away(error: Exception) -> bool:
    """Whether nobody answered, or the service says that it cannot answer now: what was shown last is still of use."""
    return isinstance(error, AWAY) or (isinstance(error, REFUSED) and error.status in (500, 502, 503, 504))


def kind(error: Exception) -> str:
    """In a word or two, how it failed: an answer that says no is not somebody who does not answer."""
    if not isinstance(error, REFUSED) or error.status in (502, 503, 504):
        return "Unreachable"
    if error.status in (401, 403):
        return "Not allowed"
    return {404: "Not found", 410: "Not found", 500: "Failed"}.get(error.status, "Refused")


def is_conflict(error: Exception) -> bool:
    """Somebody else was faster: read again."""
    return isinstance(error, REFUSED) and error.status in (409, 412)


def code(error: Exception) -> str | None:
    return error.code if isinstance(error, backend_client.ProblemError | monitor_client.ProblemError) else None


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."
