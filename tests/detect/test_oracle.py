"""Elasticsearch's own expectations for sequences and samples, as its tests write them down."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from detector.detect import joining
from detector.detect.joining import Keys
from detector.detect.matching import Completed, Matcher
from detector.detect.sample import Sampler
from detector.language import dates, eql, evaluate, tree
from detector.language.fields import FieldTable
from detector.model import Document
from tests.language import shared

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ENDLESS = timedelta(days=100_000)
IDS = {
    "endgame": "serial_event_id",
    "extra": "sequence",
    "missing-events": "sequence",
    "sample": "id",
}
MAPPINGS = {"endgame": "endgame-140", "extra": "extra", "missing-events": "missing-events"}
SAMPLE_TYPES = FieldTable({"ip": "ip", "host_ip": "ip", "port": "long", "uptime": "long"})

DIFFER = {
    "sequenceWithVersionRangeCheck": "versions are compared by their bytes in Python",
    "sequenceWithVersionRangeCheck2": "versions are compared by their bytes in Python",
    "customDateFormatAsKey_SameIndexResults": "only the index can read its own date format",
    "customDateFormatsAsKey_DifferentIndicesResults": "only the index can read its date format",
    "customDateFormatsAsKey_DifferentKeyNames": "only the index can read its own date format",
}

CASES = [
    case
    for case in shared.lines("oracle/eql_queries.ndjson")
    if case["query"].lstrip().startswith(("sequence", "sample"))
]
SEQUENCES = [case for case in CASES if case["query"].lstrip().startswith("sequence")]
SAMPLES = [case for case in CASES if case["query"].lstrip().startswith("sample")]


def types(dataset: str) -> FieldTable:
    path = shared.needed(f"oracle/data/{MAPPINGS[dataset]}.mapping.json")
    text = path.read_text(encoding="utf-8").replace("[runtime_random_keyword_type]", "keyword")
    found = re.findall(r'"([\w.@]+)"\s*:\s*\{\s*"type"\s*:\s*"(\w+)"', text)
    return FieldTable(dict(found))


def milliseconds(dataset: str, source: dict[str, Any]) -> int:
    if dataset == "endgame":
        return int(source["timestamp"]) // 10_000 - 11_644_473_600_000
    span = dates.span(source["@timestamp"])
    assert span is not None
    return span[0] // dates.MILLISECOND


def history(dataset: str) -> list[tuple[int, Document]]:
    name = IDS[dataset]
    sources = shared.lines(f"oracle/data/{dataset}.ndjson")
    events = sorted(
        ((milliseconds(dataset, source), source[name], source) for source in sources),
        key=lambda event: event[:2],
    )
    return [
        (time, Document(dataset, str(id_), source, EPOCH + timedelta(milliseconds=time)))
        for time, id_, source in events
    ]


def sequences_of(query: tree.Sequence, dataset: str) -> list[list[int]]:
    """The ids of each sequence, by when it begins."""
    known = types(dataset)
    roles, shape = joining.taken_apart(query, query.max_span or ENDLESS)
    holds = [evaluate.predicate(role.where, known) for role in roles]
    keys, matcher = Keys(roles, known), Matcher(shape)
    events = history(dataset)
    place = {id(document): n for n, (_, document) in enumerate(events)}
    completed: list[Completed] = []
    for time, document in events:
        source = document.source
        hits = {n: keys.of(n, source) for n, test in enumerate(holds) if test(source)}
        completed += matcher.feed(time, document, hits)
    completed += matcher.due(10**15)
    completed.sort(key=lambda one: [place[id(document)] for document in one.documents])
    return [[int(document.id) for document in one.documents] for one in completed]


def test_the_material_is_there() -> None:
    shared.needed("oracle")
    assert len(SEQUENCES) > 40
    assert len(SAMPLES) > 10


@pytest.mark.parametrize("case", SEQUENCES, ids=[case["name"] for case in SEQUENCES])
def test_a_sequence_finds_what_elasticsearch_finds(case: dict[str, Any]) -> None:
    if case["name"] in DIFFER:
        pytest.xfail(DIFFER[case["name"]])
    query = eql.parse(case["query"], category_field="event_type")
    assert isinstance(query, tree.Sequence)
    sequences = sequences_of(query, case["dataset"])
    for pipe in query.pipes:
        cut = slice(pipe.count) if pipe.kind == "head" else slice(-pipe.count, None)
        sequences = sequences[cut]
    width = sum(step.runs for step in query.steps)
    ids = case["expected_event_ids"]
    expected = [ids[n : n + width] for n in range(0, len(ids), width)]
    wanted = [[id_ for id_ in one if id_ != -1] for one in expected]
    assert sorted(sequences) == sorted(wanted)


@pytest.mark.parametrize("case", SAMPLES, ids=[case["name"] for case in SAMPLES])
def test_a_sample_finds_what_elasticsearch_finds(case: dict[str, Any]) -> None:
    if case["name"] in DIFFER:
        pytest.xfail(DIFFER[case["name"]])
    query = eql.parse(case["query"], category_field="event_type")
    assert isinstance(query, tree.Sample)
    roles, shape = joining.taken_apart(query, ENDLESS)
    keys, sampler = Keys(roles, SAMPLE_TYPES), Sampler(shape.stages)
    holds = [evaluate.predicate(role.where, SAMPLE_TYPES) for role in roles]
    sources = [s for n in (1, 2, 3) for s in shared.lines(f"oracle/data/sample{n}.ndjson")]
    samples = []
    for source in sources:
        hits = {n: keys.of(n, source) for n, test in enumerate(holds) if test(source)}
        document = Document("sample", str(source["id"]), source, EPOCH)
        samples += [[int(d.id) for d in one] for one in sampler.feed(document, hits)]
    ids = case["expected_event_ids"]
    choices = ids if ids and isinstance(ids[0], list) else [ids]
    width = len(query.steps)
    found = sorted(map(sorted, samples))
    wanted = [
        sorted(sorted(one[n : n + width]) for n in range(0, len(one), width)) for one in choices
    ]
    if case.get("size", len(found)) < len(found):  # which keys come first is left open
        assert all(one in found for one in wanted[0])
    else:
        assert found in wanted
