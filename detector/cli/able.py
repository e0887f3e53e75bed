"""Rules and a cluster in, the rules as the cluster can run them out; what it lacks is said once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from detector.cli import show
from detector.model import Rule
from detector.run.cycle import runnable

if TYPE_CHECKING:
    from detector.run.daemon import RuleSource
    from detector.store.elastic import ElasticStore

LACKING = "this cluster has no ES|QL"
NAMED = 3


@dataclass(slots=True)
class Able:
    """Asks the cluster when the first rule needs ES|QL, and tells `say` which do not run."""

    store: ElasticStore
    say: Callable[[str], None]
    _has: bool | None = None
    _known: dict[Rule, Rule] = field(default_factory=dict)

    def of(self, rules: Sequence[Rule]) -> list[Rule]:
        """The same objects, but for rules that cannot run there: they say why."""
        asking = [rule for rule in runnable(rules) if rule.type == "esql"]
        if not asking or self._speaks():
            return list(rules)
        fresh = [rule for rule in asking if rule not in self._known]
        if fresh:
            self.say(_told(fresh))
        self._known = {
            rule: self._known.get(rule) or replace(rule, unsupported=LACKING) for rule in asking
        }
        return [self._known.get(rule, rule) for rule in rules]

    def _speaks(self) -> bool:
        if self._has is None:
            self._has = self.store.has_esql()
        return self._has


@dataclass(frozen=True, slots=True)
class AbleRules:
    """The rules of a daemon as its cluster can run them."""

    source: RuleSource
    able: Able

    def rules(self) -> Sequence[Rule]:
        return self.able.of(self.source.rules())


def there(store: ElasticStore, rules: Sequence[Rule]) -> list[Rule]:
    """The rules for one command; what cannot run is said on standard error."""
    return Able(store, lambda said: show.say(f"warning: {said}", "yellow")).of(rules)


def _told(rules: Sequence[Rule]) -> str:
    named = ", ".join(rule.name for rule in rules[:NAMED])
    more = f" and {len(rules) - NAMED:,} more" if len(rules) > NAMED else ""
    count = f"{len(rules):,} rule{'s do' if len(rules) > 1 else ' does'} not run"
    return f"{LACKING}: {count}: {named}{more}"
