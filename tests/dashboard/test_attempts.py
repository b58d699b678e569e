from __future__ import annotations

from dashboard import attempts
from dashboard.attempts import Attempts, Limits
from dashboard.browsers import GOOD_FOR_S, Browsers

LIMITS = Limits(per_name_and_address=3, per_address=5, per_name=7, per_browser=2, window_s=60.0)


def heard(tried: Attempts, name: str, address: str, *, times: int, now: float = 0.0, browser: str | None = None) -> int:
    return sum(tried.begin(name, address, now, browser=browser) == 0 for _ in range(times))


def test_who_fails_too_often_for_one_name_waits_until_the_first_failure_is_old() -> None:
    tried = Attempts(LIMITS)
    assert [tried.begin("ada", "10.0.0.1", second) for second in range(3)] == [0, 0, 0]
    assert tried.begin("ada", "10.0.0.1", 10) == 50
    assert tried.begin("bob", "10.0.0.1", 10) == 0
    assert tried.begin("ada", "10.0.0.2", 10) == 0, "somebody else at another address"
    assert tried.begin("ada", "10.0.0.1", 60) == 0


def test_an_address_that_guesses_at_many_names_waits() -> None:
    tried = Attempts(LIMITS)
    assert sum(heard(tried, f"name-{number}", "10.0.0.1", times=1) for number in range(9)) == 5
    assert tried.begin("ada", "10.0.0.1", 1) == 59
    assert tried.begin("ada", "10.0.0.2", 1) == 0


def test_many_addresses_that_guess_at_one_name_wait() -> None:
    tried = Attempts(LIMITS)
    assert sum(heard(tried, "ada", f"10.0.0.{number}", times=1) for number in range(20)) == 7
    assert tried.begin("bob", "10.0.0.1", 1) == 0


def test_a_known_browser_is_heard_whatever_strangers_do_and_has_a_bound_of_its_own() -> None:
    tried = Attempts(LIMITS)
    for number in range(20):
        heard(tried, "ada", f"10.0.0.{number}", times=1)
    assert heard(tried, "ada", "10.0.0.1", times=9, browser="b1") == 2
    assert heard(tried, "ada", "10.0.0.1", times=9, browser="b2") == 2


def test_what_is_tried_at_once_is_counted_before_any_of_it_has_failed() -> None:
    tried = Attempts(LIMITS)
    assert heard(tried, "ada", "10.0.0.1", times=100) == 3


def test_a_right_password_clears_ones_own_failures_but_not_those_of_the_address() -> None:
    tried = Attempts(LIMITS)
    assert heard(tried, "ada", "10.0.0.1", times=3) == 3
    tried.succeeded("ada", "10.0.0.1")
    assert heard(tried, "ada", "10.0.0.1", times=9) == 3
    assert tried.begin("bob", "10.0.0.1", 0) > 0


def test_a_person_who_signs_in_often_is_never_kept_out() -> None:
    tried = Attempts(LIMITS)
    for second in range(50):
        assert tried.begin("ada", "10.0.0.1", second / 10) == 0
        tried.succeeded("ada", "10.0.0.1")


def test_what_is_remembered_is_bounded() -> None:
    tried = Attempts(LIMITS)
    for number in range(attempts.REMEMBERED):
        tried.begin(f"name-{number}", f"address-{number}", 0)
    assert len(tried._failures) == attempts.REMEMBERED


def test_a_browser_is_known_for_the_person_who_signed_in_there_alone() -> None:
    browsers = Browsers("secret")
    cookie = browsers.cookie("ada")
    assert browsers.known(cookie, "ada") is not None
    assert browsers.known(cookie, "ada") != browsers.known(browsers.cookie("ada"), "ada")
    assert browsers.known(cookie, "bob") is None
    said, seal = cookie.rsplit(".", 1)
    forged = f"{said}.{'A' if seal[0] != 'A' else 'B'}{seal[1:]}"  # the last character has bits that nothing stands in
    for foreign in (None, "", "x", forged, Browsers("other").cookie("ada")):
        assert browsers.known(foreign, "ada") is None
    assert GOOD_FOR_S == 180 * 24 * 3600
