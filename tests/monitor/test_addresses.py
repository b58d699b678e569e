"""Link-local and metadata addresses are refused as targets, however they are spelled and wherever a name leads."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from monitor.addresses import AddressRefused, number_of, refusal, refuse
from monitor.certificates.judgement import Limits
from monitor.certificates.watch import Watched, look
from monitor.fleet_file import FleetFileError, parse
from monitor.probe.connection import Target, TrustStore
from monitor.probe.round import Plan, probe_round

REFUSED = [
    "169.254.169.254",
    "169.254.0.1",
    "169.254.169.254.",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.16689662",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "[::ffff:a9fe:a9fe]",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "fe80::1",
    "fe80::1%eth0",
    "[fe80::1%25lo]",
    "febf::1",
    "fd00:ec2::254",
    "fd00:0ec2:0:0:0:0:0:0254",
    "fd20:ce::254",
    "100.100.100.200",
    "1684301000",
    "::ffff:100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "instance-data",
    "0.0.0.0",  # noqa: S104 - refused, not bound
    "0",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
]
LET_PASS = [
    "127.0.0.1",
    "::1",
    "10.0.1.10",
    "192.168.1.1",
    "172.17.0.1",
    "fd00::1",
    "100.100.100.201",
    "169.253.1.1",
    "2001:db8::1",
    "b1.face-auth.internal",
    "metadata.faceauth.example.com",
    "3232235777",
]


@pytest.mark.parametrize("host", REFUSED)
def test_where_no_backend_can_be_is_refused(host: str) -> None:
    assert refusal(host) is not None
    with pytest.raises(AddressRefused, match="allow_addresses"):
        refuse(host)


@pytest.mark.parametrize("host", LET_PASS)
def test_where_a_backend_may_be_is_not_refused(host: str) -> None:
    assert refusal(host) is None


def test_numbers_are_read_as_the_c_library_reads_them() -> None:
    spelled = ["127.1", "0x7f.1", "017700000001", "1.2.3.4", "1.2.772", "256", "0x100", "1.2.3.256", "1.2.3.4.5", "08.1", "0"]
    for text in spelled:
        try:
            known: str | None = socket.inet_ntoa(socket.inet_aton(text))
        except OSError:
            known = None
        number = number_of(text)
        assert (None if number is None else str(number)) == known, text


def test_what_is_listed_is_allowed_in_any_spelling_and_nothing_beside_it() -> None:
    refuse("2852039166", allowed=["169.254.169.254"])
    refuse("metadata.google.internal", allowed=["metadata.google.internal"])
    with pytest.raises(AddressRefused):
        refuse("169.254.169.253", allowed=["169.254.169.254"])


FLEET = """\
version: 1
{more}
backends:
  - name: b1
    url: http://{host}:80
    address: "{host}:80"
    server_name: b1
"""


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "[::ffff:169.254.169.254]", "metadata.google.internal"])
def test_a_fleet_file_with_such_a_target_is_refused_with_line_and_field_unless_it_is_listed(host: str, tmp_path: Path) -> None:
    with pytest.raises(FleetFileError) as refused:
        parse(FLEET.format(host=host, more="").encode(), path=tmp_path / "fleet.yaml")
    assert [(one.line, one.field) for one in refused.value.mistakes] == [(5, "backends.0.url"), (6, "backends.0.address")]
    listed = FLEET.format(host=host, more=f'allow_addresses: ["{host.strip("[]")}"]')
    assert parse(listed.encode(), path=tmp_path / "fleet.yaml").backends[0].name == "b1"


PLACES = {
    "balancer.url": "balancer: {url: 'https://169.254.1.1'}",
    "balancer.stats_address": "balancer: {stats_address: '169.254.1.1:80'}",
    "dashboard.url": "dashboard: {url: 'https://169.254.1.1', address: '127.0.0.1:1'}",
    "dashboard.address": "dashboard: {url: 'https://localhost', address: '[fe80::1]:1'}",
    "alerts.routes.0": "alerts: {routes: [{name: r, url: 'jsons://169.254.169.254/a'}]}",
    "certificates.watch.0.address": "certificates: {watch: [{name: x, address: '100.100.100.200:443'}]}",
}


@pytest.mark.parametrize("place", PLACES)
def test_every_field_to_which_something_connects_is_guarded(place: str, tmp_path: Path) -> None:
    with pytest.raises(FleetFileError) as refused:
        parse(FLEET.format(host="127.0.0.1", more=PLACES[place]).encode(), path=tmp_path / "fleet.yaml")
    assert [one.field for one in refused.value.mistakes] == [place]


def test_a_name_is_judged_again_by_what_it_resolves_to_when_it_is_connected() -> None:
    """A real name is tried in `make hostile-targets-test`, with a hosts file of its own; numbers reach no resolver."""

    async def run() -> tuple[str | None, str | None]:
        target = Target("2852039166:80", "b1", "b1", False)
        found = await probe_round(Plan("b1", target, "s", 1), TrustStore())
        fault = found.monitor_fault
        seen = await look(Watched("b1", target), TrustStore(), limits=Limits(), deadline_s=1)
        return fault.code if fault else None, seen.reason

    assert asyncio.run(run()) == ("MON.ADDRESS", "MON.ADDRESS")
