"""A folder of rules in, a table of how each is asked out: whole, with a residual, or not at all.

`python -m tests.corpus.table PATH` is `scripts/corpus`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from detector import rulefile
from detector.cli.compiling import compiled_rule
from detector.language import analysed
from detector.language.fields import ECS
from detector.model import Rule

How: TypeAlias = Literal["whole", "residual", "passed on", "unsupported", "crashed"]
"""`passed on`: some part is Query DSL or ES|QL that only Elasticsearch can judge."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How a rule is asked; `why` is the residual, the reason or the exception."""

    rule: Rule
    how: How
    why: str | None = None

    @property
    def row(self) -> tuple[str, str]:
        return self.rule.type, self.rule.language or "-"


@dataclass(frozen=True, slots=True)
class Corpus:
    """All rules of a folder; `errors` are those of rules that could not be loaded."""

    asked: tuple[Asked, ...]
    errors: tuple[str, ...]
    load_ms: int
    compile_ms: int

    def those(self, how: How) -> list[Asked]:
        return [one for one in self.asked if one.how == how]

    @property
    def counts(self) -> dict[tuple[str, str], Counter[str]]:
        """By type and language."""
        found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for one in self.asked:
            found[one.row][one.how] += 1
        return dict(sorted(found.items(), key=lambda item: -item[1].total()))


def read(path: Path) -> Corpus:
    began = time.perf_counter()
    loaded = rulefile.load([path])
    between = time.perf_counter()
    asked = tuple(judged(rule) for rule in loaded.rules)
    end = time.perf_counter()
    errors = tuple(
        f"{one.file}:{one.line}: {one.message}" for one in loaded.problems if one.level == "error"
    )
    return Corpus(asked, errors, int((between - began) * 1000), int((end - between) * 1000))


def judged(rule: Rule) -> Asked:
    if rule.unsupported:
        return Asked(rule, "unsupported", rule.unsupported)
    try:
        searches = compiled_rule(rule)["searches"]
    except Exception as error:  # noqa: BLE001 - a crash is what is looked for
        return Asked(rule, "crashed", repr(error))
    if passed_on(rule):
        return Asked(rule, "passed on")
    left = [search["residual"] for search in searches if search["residual"]]
    return Asked(rule, "residual", "; ".join(left)) if left else Asked(rule, "whole")


def passed_on(rule: Rule) -> bool:
    unread = rule.where is None or not analysed.answerable(rule.where, ECS)
    return unread or rule.type == "esql"


def by_reason(some: Iterable[Asked]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for one in some:
        found[one.why or ""].append(one.rule.name)
    return dict(found)


def document(corpus: Corpus) -> dict[str, Any]:
    """What `--json` shows."""
    rows = [
        {"type": kind, "language": language, "rules": count.total()}
        | {how.replace(" ", "_"): count[how] for how in get_args(How)}
        for (kind, language), count in corpus.counts.items()
    ]
    return {
        "rules": len(corpus.asked),
        "table": rows,
        "residual": {one.rule.name: one.why for one in corpus.those("residual")},
        "passed_on": [one.rule.name for one in corpus.those("passed on")],
        "unsupported": by_reason(corpus.those("unsupported")),
        "crashed": by_reason(corpus.those("crashed")),
        "errors": list(corpus.errors),
        "load_ms": corpus.load_ms,
        "compile_ms": corpus.compile_ms,
    }


def lines(corpus: Corpus) -> Iterable[str]:
    """What a person is shown."""
    rows = [[*row, count.total(), *map(count.get, get_args(How))] for row, count in all_of(corpus)]
    heads = ["type", "language", "rules", *get_args(How)]
    widths = [18, 9, *(max(6, len(head)) + 1 for head in heads[2:])]
    for line in [heads, *rows]:
        cells = zip((str(cell or 0) for cell in line), widths, strict=True)
        yield "".join(cell.ljust(width) for cell, width in cells).rstrip()
    yield f"\nloaded in {corpus.load_ms} ms, compiled in {corpus.compile_ms} ms"
    for one in corpus.those("residual"):
        yield f"\nchecked on every hit of {one.rule.name}: {one.why}"
    for one in corpus.those("passed on"):
        yield f"\nonly Elasticsearch can judge {one.rule.name}"
    for how in ("unsupported", "crashed"):
        for reason, names in by_reason(corpus.those(how)).items():
            yield f"\n{how}, {len(names)}: {reason}"
            yield from (f"  {name}" for name in sorted(names))
    yield from (f"\n{error}" for error in corpus.errors)


def all_of(corpus: Corpus) -> Iterable[tuple[tuple[str, str], Counter[str]]]:
    """The rows, and their sum."""
    yield from corpus.counts.items()
    yield ("all", "-"), sum(corpus.counts.values(), Counter())


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/corpus", description="How rules are asked.")
    parser.add_argument("path", type=Path, help="a folder of rules")
    parser.add_argument("--json", action="store_true", help="one JSON document")
    given = parser.parse_args(arguments)
    corpus = read(given.path)
    shown = [json.dumps(document(corpus), indent=2)] if given.json else lines(corpus)
    sys.stdout.write("\n".join(shown) + "\n")
    return 1 if corpus.errors or corpus.those("crashed") else 0


if __name__ == "__main__":
    sys.exit(main())
