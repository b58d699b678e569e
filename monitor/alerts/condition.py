"""What the rules say of one moment: conditions that hold, and where there is no evidence either way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from monitor.alerts.catalogue import RULES
from monitor.fleet_alerts import Alerts, Severity


@dataclass(frozen=True)
class Condition:
    """Something that is wrong now. `key` stays the same as long as it is the same thing; `scope` is where evidence comes from.

    `reason` is owner-prefixed (``NET.REFUSED``); `labels` hold names of the fleet file and codes, nothing of a person.
    """

    key: str
    scope: str
    rule: str
    severity: Severity
    sentence: str
    reason: str
    labels: Mapping[str, str]
    for_s: float = 0.0
    clear_s: float = 0.0

    @property
    def owner(self) -> str:
        """Whose fault: ``MON NET TLS APP DEP LB``."""
        return self.reason.partition(".")[0]


@dataclass
class Sheet:
    """Filled by the rules. `suppressed`: keys that a wider alert covers: they are not created, but resolved as ever."""

    settings: Alerts
    conditions: dict[str, Condition] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    suppressed: set[str] = field(default_factory=set)

    def add(
        self,
        rule: str,
        scope: str,
        sentence: str,
        reason: str,
        *,
        key: str | None = None,
        severity: Severity | None = None,
        **labels: str | None,
    ) -> bool:
        """`severity`: where it differs from the catalogue's. False where the rule is switched off: then it covers nothing."""
        if rule in self.settings.disabled:
            return False
        known = RULES[rule]
        condition = Condition(
            key=key or scope,
            scope=scope,
            rule=rule,
            severity=severity or known.severity,
            sentence=sentence,
            reason=reason,
            labels={name: value for name, value in labels.items() if value is not None},
            for_s=self.settings.for_s.get(rule, known.for_s),
            clear_s=known.clear_s,
        )
        self.conditions[condition.key] = condition
        return True

    def hold(self, *scopes: str) -> None:
        """No evidence there: what fires stays as it is. ``prefix*`` stands for all that begin so."""
        self.held.update(scopes)

    def suppress(self, *keys: str) -> None:
        self.suppressed.update(keys)

    def holds(self, scope: str) -> bool:
        return scope in self.held or any(one.endswith("*") and scope.startswith(one[:-1]) for one in self.held)


def named(names: list[str], *, most: int = 8) -> str:
    """At most so many names, in their order."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
