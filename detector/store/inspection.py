"""An Elasticsearch and the rules in, what would keep them from working out: for `check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from detector.errors import StoreError
from detector.model import Problem, Rule
from detector.store import installation
from detector.store.elastic import ElasticStore

OLDEST = (8, 0)


def inspect(store: ElasticStore, rules: Sequence[Rule]) -> Iterator[Problem]:
    """All that is wrong at once. A cluster that does not answer is one problem and the last."""
    try:
        version = store.call(store.client.info)["version"]["number"]
    except StoreError as error:
        yield Problem(error.message, hint=error.hint)
        return
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
        yield Problem(f"Elasticsearch {version} is too old", hint="8.0 or later is needed")
    try:
        yield from _setup(store)
        yield from _indices(store, rules)
    except StoreError as error:
        yield Problem(error.message, hint=error.hint)


def _setup(store: ElasticStore) -> Iterator[Problem]:
    hint = "`detector setup` makes it"
    for index in (store.names.state, store.names.deadletter):
        if not store.call(lambda index=index: store.client.indices.exists(index=index)):  # type: ignore[misc]
            yield Problem(f"the index {index} is missing", hint=hint)
    for name in (store.names.alerts, *store.names.templates()):
        if not store.call(
            lambda name=name: store.client.indices.exists_index_template(name=name)  # type: ignore[misc]
        ):
            yield Problem(f"the index template {name} is missing", hint=hint)
    for index in installation.outdated(store):
        yield Problem(f"the index {index} is older than this detector", hint="run `detector setup`")


def _indices(store: ElasticStore, rules: Sequence[Rule]) -> Iterator[Problem]:
    """Patterns that match nothing: a warning, since a data stream appears with its first event."""
    if not rules:
        return
    lines: list[dict[str, object]] = []
    for rule in rules:
        options = {"ignore_unavailable": True, "allow_no_indices": True}
        lines += [{"index": list(rule.index), **options}, {"size": 0}]
    answers = store.call(lambda: store.client.msearch(searches=lines))["responses"]
    for rule, answer in zip(rules, answers, strict=True):
        patterns = ", ".join(rule.index)
        if "error" in answer:
            message = f"{rule.name}: {patterns} cannot be searched: {answer['error']['reason']}"
            yield Problem(message, rule_id=rule.rule_id, file=_file(rule))
        elif answer["_shards"]["total"] == 0:
            message = f"{rule.name}: no index matches {patterns}"
            yield Problem(message, "warning", rule_id=rule.rule_id, file=_file(rule))


def _file(rule: Rule) -> str | None:
    return str(rule.file) if rule.file else None
