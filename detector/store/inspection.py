"""An Elasticsearch and the rules in, what would keep them from working out: for `check`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from detector.errors import Forbidden, Rejected, StoreError, Unavailable
from detector.model import Problem, Rule
from detector.store import esql, installation, mapped, msearch, privileges
from detector.store.connection import UNKNOWN, status_of
from detector.store.elastic import ElasticStore

T = TypeVar("T")

OLDEST = (8, 0)
SEARCHES, FIELDS = 100, 100
"""Searches and names of fields in one request."""

LET = "`detector setup --role` prints a role with everything that these rules need"
MADE = "`detector setup` makes it"
OPTIONS: dict[str, Any] = {"ignore_unavailable": True, "allow_no_indices": True}


def inspect(store: ElasticStore, rules: Sequence[Rule]) -> Iterator[Problem]:
    """All that is wrong at once. A cluster that does not answer is one problem and the last.

    What cannot be found out for want of a privilege is left out where the privilege is named.
    """
    weak = False
    for look in (_privileges, _version, _templates, _state, _settings, _esql, _indices, _fields):
        try:
            for problem in look(store, rules):
                weak = weak or look is _privileges
                yield problem
        except StoreError as error:
            if not (weak and isinstance(error, Forbidden)):  # it would be said twice
                yield Problem(error.message, hint=error.hint)
            if isinstance(error, Unavailable) or status_of(error) == UNKNOWN:
                return


def _version(store: ElasticStore, _: Sequence[Rule]) -> Iterator[Problem]:
    version = store.call(store.client.info)["version"]["number"]
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        yield Problem(f"Elasticsearch {version} is too old", hint="8.0 or later is needed")


def _privileges(store: ElasticStore, rules: Sequence[Rule]) -> Iterator[Problem]:
    """What a daemon does and the credentials do not allow; a cluster without users allows all."""
    question = privileges.question(store.names, rules)
    try:
        answer = store.call(lambda: store.client.security.has_privileges(**question))
    except Rejected:
        return
    for lack in privileges.missing(answer.body):
        where = f"on {lack.pattern}" if lack.pattern else "on the cluster"
        yield Problem(f"the credentials lack {', '.join(lack.privileges)} {where}", hint=LET)


def _templates(store: ElasticStore, rules: Sequence[Rule]) -> Iterator[Problem]:
    shadow = [store.names.shadow] if any(rule.shadow for rule in rules) else []
    for name in (store.names.alerts, *shadow, *store.names.templates()):
        if not store.call(
            lambda name=name: store.client.indices.exists_index_template(name=name)  # type: ignore[misc]
        ):
            yield Problem(f"the index template {name} is missing", hint=MADE)


def _state(store: ElasticStore, _: Sequence[Rule]) -> Iterator[Problem]:
    for index in (store.names.state, store.names.deadletter):
        if not store.call(lambda index=index: store.client.indices.exists(index=index)):  # type: ignore[misc]
            yield Problem(f"the index {index} is missing", hint=MADE)
    for index in installation.outdated(store):
        yield Problem(f"the index {index} is older than this detector", hint="run `detector setup`")


def _settings(store: ElasticStore, _: Sequence[Rule]) -> Iterator[Problem]:
    """Settings of the cluster under which searches or writes are refused."""
    answer = store.call(
        lambda: store.client.cluster.get_settings(include_defaults=True, flat_settings=True)
    )
    said = answer.get("defaults", {}) | answer["persistent"] | answer["transient"]
    if said.get("search.allow_expensive_queries") == "false":
        yield Problem(
            "`search.allow_expensive_queries` is false: wildcards and regular expressions fail",
            hint="set it to true, which is the default",
        )
    for name in ("cluster.blocks.read_only", "cluster.blocks.read_only_allow_delete"):
        if said.get(name) == "true":
            yield Problem(f"`{name}` is true: no alert can be written", hint="set it to false")
    for name in (f"{store.names.alerts}-2026.01", store.names.all_runs.replace("*", "2026.01")):
        if not _may_appear(name, said.get("action.auto_create_index", "true")):
            yield Problem(
                f"`action.auto_create_index` keeps {name} from being created",
                hint="allow alerts-detector-* and detector-* in it: each month has an index",
            )


def _may_appear(name: str, allowed: str) -> bool:
    """What `action.auto_create_index` says of an index: the first pattern that fits decides."""
    if allowed.strip().lower() in {"true", "false"}:
        return allowed.strip().lower() == "true"
    for pattern in (part.strip() for part in allowed.split(",")):
        if fnmatchcase(name, pattern.lstrip("+-")):
            return not pattern.startswith("-")
    return False


def _esql(store: ElasticStore, rules: Sequence[Rule]) -> Iterator[Problem]:
    """Rules of a language that the cluster has not; the others go on."""
    asking = [rule for rule in rules if rule.type == "esql"]
    if asking and not store.has_esql():
        for rule in asking:
            said = f"{rule.name}: {esql.LACKING}, the rule does not run there"
            yield Problem(said, "warning", rule_id=rule.rule_id, file=_file(rule))


def _indices(store: ElasticStore, rules: Sequence[Rule]) -> Iterator[Problem]:
    """Patterns that match nothing: a warning, since a data stream appears with its first event."""
    asked = [(rule, rule.index) for rule in rules]
    asked += [(rule, rule.indicators.index) for rule in rules if rule.indicators is not None]
    for some in _chunks(asked, SEARCHES):
        lines: list[dict[str, Any]] = []
        for _, index in some:
            lines += [{"index": list(index), **OPTIONS}, {"size": 0}]
        answers = store.call(lambda lines=lines: store.client.msearch(searches=lines))["responses"]  # type: ignore[misc]
        for (rule, index), answer in zip(some, answers, strict=True):
            patterns = ", ".join(index)
            if "error" in answer:
                message = f"{rule.name}: {patterns} cannot be searched: {answer['error']['reason']}"
                yield Problem(message, rule_id=rule.rule_id, file=_file(rule))
            elif lack := msearch.lack(answer):
                message = f"{rule.name}: {patterns} cannot be searched in full: {lack.reason}"
                yield Problem(message, rule_id=rule.rule_id, file=_file(rule))
            elif answer["_shards"]["total"] == 0:
                message = f"{rule.name}: no index matches {patterns}"
                yield Problem(message, "warning", rule_id=rule.rule_id, file=_file(rule))


def _fields(store: ElasticStore, rules: Sequence[Rule]) -> Iterator[Problem]:
    """Fields that no index maps, or as a type that cannot work out.

    Rules of the same patterns are looked at together.
    """
    alike: dict[tuple[str, ...], list[Rule]] = defaultdict(list)
    for rule in rules:
        alike[rule.index].append(rule)
    for patterns, some in alike.items():
        names = sorted({name for rule in some for name in mapped.names(rule)})
        caps, found = _caps(store, patterns, names)
        if found:
            for rule in some:
                yield from mapped.problems(rule, caps)


def _caps(
    store: ElasticStore, patterns: Sequence[str], names: Sequence[str]
) -> tuple[dict[str, Any], bool]:
    """What the indices say of the fields, and whether there is an index."""
    caps: dict[str, Any] = {}
    found = False
    for some in _chunks(names, FIELDS):
        answer = store.call(
            lambda some=some: store.client.field_caps(  # type: ignore[misc]
                index=list(patterns), fields=list(some), **OPTIONS
            )
        )
        caps |= answer["fields"]
        found = found or bool(answer["indices"])
    return caps, found


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _file(rule: Rule) -> str | None:
    return str(rule.file) if rule.file else None
