from __future__ import annotations

from dashboard import attempts
from dashboard.attempts import Attempts, Limits

LIMITS = Limits(per_name=3, per_address=5, window_s=60.0)


def test_a_name_that_failed_too_often_waits_whatever_address_it_comes_from() -> None:
    tried = Attempts(LIMITS)
    for second in range(3):
        assert tried.wait_s("ada", f"10.0.0.{second}", second) == 0
        tried.failed("ada", f"10.0.0.{second}", second)
    assert tried.wait_s("ada", "10.0.0.9", 10) == 50
    assert tried.wait_s("bob", "10.0.0.9", 10) == 0
    assert tried.wait_s("ada", "10.0.0.9", 61) == 0


def test_an_address_that_guesses_at_many_names_waits() -> None:
    tried = Attempts(LIMITS)
    for number in range(5):
        tried.failed(f"name-{number}", "10.0.0.1", 0)
    assert tried.wait_s("ada", "10.0.0.1", 1) == 59
    assert tried.wait_s("ada", "10.0.0.2", 1) == 0


def test_a_right_password_clears_the_name_but_not_the_address() -> None:
    tried = Attempts(LIMITS)
    for _ in range(2):
        tried.failed("ada", "10.0.0.1", 0)
    tried.succeeded("ada")
    tried.failed("ada", "10.0.0.1", 1)
    assert tried.wait_s("ada", "10.0.0.1", 2) == 0
    for number in range(2):
        tried.failed(f"other-{number}", "10.0.0.1", 2)
    assert tried.wait_s("ada", "10.0.0.1", 3) > 0


def test_what_is_remembered_is_bounded() -> None:
    tried = Attempts(LIMITS)
    for number in range(attempts.REMEMBERED):
        tried.failed(f"name-{number}", f"address-{number}", 0)
    assert len(tried._failures) == attempts.REMEMBERED
