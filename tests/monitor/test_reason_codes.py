"""Reason codes: each that the program can give is documented with its owner and what to look at next."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys

import pytest

from monitor import reason_codes
from monitor.probe.answers import CODE_OF_CHECK
from monitor.probe.reasons import STAGE_OF_TIMEOUT, VERIFY_CODES, of_exception
from tests.monitor.faults import NO_TLS, PLAIN, TLS
from tests.monitor.processes import ROOT

GIVEN_BY = ("monitor/probe", "monitor/certificates", "monitor/diagnosis", "monitor/synthetic", "monitor/balancer")
ALSO_BY = ("monitor/watch.py", "monitor/drift.py", "monitor/verdict.py")
CODE = re.compile(r"""["'](?P<code>(?:MON|NET|TLS|APP|DEP|LB)\.[A-Z_.]+)(?P<open>\{)?""")


def named_in_the_program() -> set[str]:
    files = [path for folder in GIVEN_BY for path in (ROOT / folder).rglob("*.py")] + [ROOT / path for path in ALSO_BY]
    found = [match for path in files if path.exists() for match in CODE.finditer(path.read_text())]
    # `f"APP.STATUS.{status}"` is one of a family, `f"NET.TIMEOUT.{stage}"` one of those below.
    return {match["code"].rstrip(".") + (".X" if match["open"] else "") for match in found} - {"NET.TIMEOUT.X", "NET.TIMEOUT"}


def test_every_code_that_the_program_can_give_says_what_to_look_at_next() -> None:
    given = named_in_the_program() | {code for code, _ in VERIFY_CODES.values()} | set(CODE_OF_CHECK.values())
    given |= {f"NET.TIMEOUT.{stage}" for stage in STAGE_OF_TIMEOUT.values()}
    assert len(given) > 40, "the program was searched for its codes"
    assert sorted(code for code in given if reason_codes.lookup(code) is None) == []


def test_every_code_that_is_documented_can_be_given() -> None:
    given = named_in_the_program() | {code for code, _ in VERIFY_CODES.values()} | set(CODE_OF_CHECK.values())
    given |= {f"NET.TIMEOUT.{stage}" for stage in STAGE_OF_TIMEOUT.values()}
    families = {f"{code.rpartition('.')[0]}.*" for code in given}
    assert sorted(set(reason_codes.CODES) - given - families) == []


def test_every_fault_that_is_tried_has_a_documented_code() -> None:
    tried = {row[-1] for table in (PLAIN, TLS, NO_TLS) for row in table.values()}
    assert all(reason_codes.lookup(str(code)) for code in tried)


def test_the_document_is_what_the_program_says() -> None:
    said = subprocess.run([sys.executable, "-m", "monitor", "codes"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (ROOT / "docs" / "reason-codes.md").read_text() == said.stdout


def test_an_unknown_code_has_no_advice_and_a_family_has() -> None:
    assert reason_codes.lookup("APP.NOTHING") is None
    assert reason_codes.lookup("APP.STATUS.418") is reason_codes.CODES["APP.STATUS.*"]
    assert reason_codes.owner("TLS.EXPIRED").startswith("certificates")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PermissionError(13, "no"), "NET.FORBIDDEN"),
        (OSError(113, "no route"), "NET.UNREACHABLE"),
        (OSError(24, "too many"), "MON.RESOURCES"),
        (socket.gaierror(-2, "unknown"), "NET.DNS"),
        (ssl.SSLError(1, "[SSL: X] y"), "TLS.HANDSHAKE"),
        (RuntimeError("a defect"), "MON.PROBE"),
    ],
)
def test_a_foreign_error_becomes_a_code_of_its_owner(error: Exception, code: str) -> None:
    assert of_exception(error, "connect").code == code
