"""Every reason code: who owns the fault, what it means, and what to look at next. `docs/reason-codes.md` is made of this.

`python -m monitor codes` prints that document. A code whose last part is open (`APP.STATUS.404`) is found by its family.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

OWNERS = {
    "MON": "the monitor itself: it says nothing about the backend, and gives no verdict",
    "NET": "the network between them, or nobody is there",
    "TLS": "certificates and the handshake",
    "APP": "the backend's own program",
    "DEP": "what the backend depends on",
    "LB": "the load balancer",
}


@dataclass(frozen=True)
class Code:
    """`look` is one sentence that tells an operator what to do next; ADDRESS, HOST, PORT and NAME stand for the target's own."""

    meaning: str
    look: str


_JOURNAL = "Read the backend's app.log (`tail -f /var/log/face-auth/app.log`)."
_CHAIN = "`openssl s_client -connect ADDRESS -servername NAME -showcerts` shows what it sends."

CODES = {
    "MON.ADDRESS": Code(
        "its name leads to a link-local or metadata address",
        "Correct the name, or list it in `allow_addresses` of the fleet file if it is meant.",
    ),
    "MON.FILE": Code("a file that is watched cannot be read", "Let the monitor's user read the file, or correct its path."),
    "MON.GATEWAY": Code(
        "the monitor's own gateway does not answer while most of the fleet seems gone",
        "Check the monitor's host: cable, interface, `ip route`, `ip neigh`.",
    ),
    "MON.KEY": Code(
        "a key that the fleet file names cannot be read", "Set the file or the variable it names, readable for the monitor."
    ),
    "MON.LOOPBACK": Code(
        "the monitor's own loopback does not work", "Check the monitor's host: file descriptors, memory, `ip link show lo`."
    ),
    "MON.PHOTOGRAPHS": Code(
        "a photograph of the synthetic verification cannot be read", "Correct the paths below `synthetic` in the fleet file."
    ),
    "MON.PROBE": Code("the probe itself failed", "This is a defect of the monitor: its log has the trace; please report it."),
    "MON.REFERENCE": Code(
        "the reference URL does not answer while most of the fleet seems gone",
        "Check the monitor's own way out: `curl -v` the reference URL from its host.",
    ),
    "MON.RESOURCES": Code(
        "the monitor has no socket, descriptor or memory left", "Raise its limits (`ulimit -n`) or find what holds them."
    ),
    "MON.TRUST": Code(
        "the CA file named in the fleet file cannot be used", "Correct `ca_file`, or let the monitor's user read it."
    ),
    "NET.CLOSED": Code(
        "the peer closed the connection before its answer was complete",
        f"Something ends the process or the connection. {_JOURNAL}",
    ),
    "NET.DNS": Code("its name cannot be resolved", "`getent hosts HOST` on the monitor's host; check the name and the resolver."),
    "NET.FORBIDDEN": Code(
        "a rule of the monitor's own host forbids the connection",
        "Look at the packet filter's outgoing rules: `nft list ruleset`.",
    ),
    "NET.REFUSED": Code(
        "nothing listens at its address",
        "Is the process running, and does it listen there? `ss -ltnp | grep PORT` on the backend's host.",
    ),
    "NET.RESET": Code("the peer reset the connection", f"It crashed, or a middlebox cut the connection. {_JOURNAL}"),
    "NET.TIMEOUT.ANSWER": Code(
        "connected, but no first line of an answer came in time",
        "The process is stuck or overloaded: `top` on its host, then its app.log; a frozen one must be restarted.",
    ),
    "NET.TIMEOUT.BODY": Code(
        "the answer began and did not end in time", "The process or the way to it is slow: `top`, and the network's loss and MTU."
    ),
    "NET.TIMEOUT.CONNECT": Code(
        "no answer at all to the connection: filtered, host off, or its queue is full",
        "Verify the firewall's rules for port PORT (`telnet HOST PORT` here, `nft list ruleset` there), and that its host runs.",
    ),
    "NET.TIMEOUT.DNS": Code("the resolver did not answer in time", "`resolvectl query HOST` or `dig HOST`; check the resolver."),
    "NET.TIMEOUT.TLS": Code(
        "connected, but the handshake did not end in time",
        "The process is frozen or something else than TLS listens: `ss -ltnp | grep PORT` on its host.",
    ),
    "NET.UNREACHABLE": Code(
        "there is no route to its address, or a firewall rejects with that answer",
        "`ip route get HOST` on the monitor's host; then the routers between, and REJECT rules.",
    ),
    "TLS.EXPIRED": Code("its certificate has expired", "Renew it and reload: `openssl x509 -noout -dates` shows the dates."),
    "TLS.EXPIRING": Code("its certificate, or an intermediate, ends soon", "Renew it; check why the automatic renewal did not."),
    "TLS.FILE": Code(
        "the watched file holds no readable PEM certificate", "`openssl x509 -in FILE -noout -text` says what it is."
    ),
    "TLS.HANDSHAKE": Code(
        "the handshake failed: plain HTTP behind the port, or no common version",
        f"Does it speak TLS at that port at all? {_CHAIN}",
    ),
    "TLS.NAME_MISMATCH": Code("its certificate is for another name", f"Issue it for NAME, or correct `server_name`. {_CHAIN}"),
    "TLS.NO_CERTIFICATE": Code("the handshake sent no certificate", _CHAIN),
    "TLS.NOT_YET_VALID": Code("its certificate is not valid yet", "Compare both hosts' clocks (`timedatectl`), then its dates."),
    "TLS.PURPOSE": Code("its certificate is not for servers", "Issue it with the extended key usage serverAuth."),
    "TLS.REVOKED": Code("its certificate is revoked", "Replace certificate and key, and find out why it was revoked."),
    "TLS.SELF_SIGNED": Code(
        "its certificate is self-signed", "Issue one from a CA, or give that CA as `ca_file` in the fleet file."
    ),
    "TLS.UNKNOWN_ISSUER": Code(
        "its issuer is not trusted, or an intermediate is missing",
        f"Serve the full chain (leaf, then intermediates), or correct `ca_file`. {_CHAIN}",
    ),
    "TLS.VERIFY.*": Code("its certificate does not verify; the last part is OpenSSL's code", f"`man openssl-verify`. {_CHAIN}"),
    "APP.BODY": Code(
        "it answers, but not with the documented body", "Something else listens there: `curl -v` its URL and see who answers."
    ),
    "APP.CHECK.*": Code(
        "a check of /ready fails that this monitor does not know by name", "`curl URL/ready` names it; then app.log."
    ),
    "APP.CLOCK": Code("its clock differs from the monitor's", "`timedatectl` on both hosts; let NTP or chrony set both."),
    "APP.DRAINING": Code(
        "it was asked to take no more traffic", "Expected during a roll; `return` it, or restart it, when done."
    ),
    "APP.FALSE_MATCH": Code(
        "the impostor pair of the synthetic verification was accepted",
        "Take it out of service, then compare its model and threshold with the others' (drift).",
    ),
    "APP.FALSE_NON_MATCH": Code(
        "the genuine pair of the synthetic verification was rejected",
        "Compare its model and threshold with the others' (drift), then look at what changed there last.",
    ),
    "APP.GALLERY": Code("its gallery is not loaded or too far behind", f"`curl URL/ready` says how far. {_JOURNAL}"),
    "APP.INFERENCE_STUCK": Code(
        "no inference finished for half a minute while some wait", f"Restart it; before that: {_JOURNAL}"
    ),
    "APP.METRICS": Code("its /metrics cannot be read", "`curl URL/metrics`; its load is unknown until then."),
    "APP.MODEL": Code(
        "its model is not loaded, or is not the gallery's",
        "Give it the model pack of the others: `curl URL/v1/fleet/self` shows the model id.",
    ),
    "APP.NOT_READY": Code("it says not ready and names no check", _JOURNAL),
    "APP.PROTOCOL": Code("what answers there is not HTTP", "Another program listens: `ss -ltnp | grep PORT` on its host."),
    "APP.RESOURCES": Code("a limit of disk or memory is reached", "`df -h`, `free -m` and `top` on its host."),
    "APP.STATUS.*": Code("it answers with a status that its probe must not have", f"`curl -v` its URL. {_JOURNAL}"),
    "APP.DRIFT.GALLERY": Code(
        "its gallery lacks what another backend had well before",
        "`curl URL/v1/fleet/self` shows its lag; look for a stuck follower in its app.log; a restart rebuilds it.",
    ),
    "APP.DRIFT.MODEL": Code(
        "backends compare with different models", "Give all the same model pack; scores of two models mean different things."
    ),
    "APP.DRIFT.SCORES": Code(
        "the same two photographs get different scores",
        "Compare model, threshold and version of the backends named, then their hosts.",
    ),
    "APP.DRIFT.THRESHOLD": Code(
        "backends decide by different thresholds",
        "Compare their settings and `GET /v1/calibration`; restart who has the old one.",
    ),
    "APP.DRIFT.VERSION": Code("backends run different versions for longer than a roll takes", "Finish the roll, or roll back."),
    "DEP.DATABASE": Code(
        "its database does not answer",
        "Look at the database first (is it up, are its connections used up?), then at `BACKEND_DATABASE_URL`.",
    ),
    "DEP.SCHEMA": Code(
        "the database's schema is not one that this version runs on", "Run `python -m backend migrate`, or roll back the version."
    ),
    "LB.NO_BACKEND": Code(
        "the balancer answers, and reaches no backend",
        "Its error log and stats page say why; then check the backends' own health at their addresses.",
    ),
}


def lookup(code: str) -> Code | None:
    """The entry of a code, by itself or by its family; None for a code that is nobody's."""
    exact = CODES.get(code)
    return exact if exact is not None else CODES.get(f"{code.rpartition('.')[0]}.*")


def owner(code: str) -> str:
    """Whose fault it is, in words."""
    return OWNERS.get(code.partition(".")[0], "unknown")


def document() -> str:
    """`docs/reason-codes.md`."""
    lines = [
        "# Reason codes",
        "",
        "Why a probe failed, with its owner first. Made by `python -m monitor codes`; `python -m monitor check URL` gives the",
        "same advice with the target's own host, port and name filled in. A code that ends in `.*` stands for a family: the",
        "last part says which (`APP.STATUS.404`).",
        "",
    ]
    for prefix, meaning in OWNERS.items():
        lines += [f"## `{prefix}.` {meaning}", ""]
        rows = [
            f"| `{name}` | {code.meaning} | {code.look} |"
            for name, code in sorted(CODES.items())
            if name.startswith(f"{prefix}.")
        ]
        lines += [
            "| code | meaning | what to look at next |",
            "|---|---|---|",
            *(row.replace(" | grep", " \\| grep") for row in rows),
            "",
        ]
    return "\n".join(lines)


def filled(look: str, words: dict[str, str]) -> str:
    """The advice with the target's own words for HOST, PORT and the others."""
    return re.sub(r"\b(" + "|".join(words) + r")\b", lambda found: words[found[1]], look)
