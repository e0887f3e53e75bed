"""`detector example add`: an event of the cluster becomes a proof that its rule carries."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from detector import packaged
from detector.cli import events, examples, options, reducing, show, wiring
from detector.cli.explaining import chosen_rule
from detector.cli.reducing import Reduced
from detector.detect.verdict import fields
from detector.errors import DetectorError, Place, RuleError, SettingsError
from detector.model import Example, Rule
from detector.rulefile.examples import SUFFIX
from detector.text import file as textfile
from detector.text import yaml as yamltext
from detector.text import yamledit

if TYPE_CHECKING:
    from detector.settings import Settings

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Give rules examples from events of the cluster.",
)


Named: TypeAlias = Annotated[
    list[str],
    typer.Argument(metavar="INDEX/ID...", help="One event, or all that a match needs."),
]
Name: TypeAlias = Annotated[
    str | None, typer.Option("--name", metavar="TEXT", help="What the example shows.")
]
Negative: TypeAlias = Annotated[
    bool, typer.Option("--negative", help="The rule is not to alert on it.")
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Print the example, write nothing.")
]
History: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--history", metavar="INDEX/ID", help="An event from before, for new terms; repeatable."
    ),
]


@dataclass(frozen=True, slots=True)
class Added:
    """An example as it stands in `file`; `holds` says whether the rule does what it says."""

    rule: Rule
    item: dict[str, Any]
    small: Reduced
    file: Path | None
    holds: bool


@app.callback()
def begin() -> None:
    """A group, though it has one command so far."""


@app.command("add")
@options.guarded
def add(
    ctx: typer.Context,
    rule: Annotated[str, typer.Argument(metavar="RULE", help="Its id, name or file.")],
    event: Named,
    name: Name = None,
    negative: Negative = False,
    dry_run: DryRun = False,
    history: History = None,
    config: options.Config = None,
    rules: options.Rules = None,
    url: options.Url = None,
    json: options.Json = False,
) -> None:
    """Take an event from the cluster into the examples of a rule.

    It keeps the fields the rule names and what identifies it; users, hosts and addresses are
    replaced by documentation values except where the rule compares them. Written into the rule's
    own YAML file, or into NAME.examples.yaml beside a TOML or NDJSON file.
    """
    common = options.common(ctx, config, rules, url, json=json)
    configured = wiring.read_settings(common)
    chosen = chosen_rule(common, configured, rule)
    if chosen.unsupported or chosen.file is None:
        raise RuleError(f"{chosen.name}: {chosen.unsupported or 'it is in no file'}")
    if not dry_run:
        refuse_packaged(chosen.file)
    before, named = list(history or ()), fields(chosen)
    found = events.of_cluster([*before, *event], chosen, named, common, configured)
    _warn(chosen, found)
    sources = [one.source for one in found]
    earlier, own = sources[: len(before)], sources[len(before) :]
    small = reducing.reduced(chosen, own, earlier)
    called = _free(name or reducing.said(own, wiring.now()), chosen)
    item = described(chosen, called, small, configured, negative=negative)
    file = None if dry_run else put(chosen, item)
    holds = _alerts(chosen, item, configured) == _due(item)
    _show(Added(chosen, item, small, file, holds), json=common.json)


def _warn(rule: Rule, found: Sequence[events.Event]) -> None:
    for index in dict.fromkeys(one.index for one in found if not one.covered):
        show.say(f"warning: {rule.name} does not look into {index}", "yellow")


def described(
    rule: Rule, name: str, small: Reduced, configured: Settings, *, negative: bool
) -> dict[str, Any]:
    """The example as it is written."""
    one = len(small.events) == 1
    item: dict[str, Any] = {"name": name}
    item |= {"history": list(small.history)} if small.history else {}
    item |= {"event": small.events[0]} if one else {"events": list(small.events)}
    got = 0 if negative else _alerts(rule, item, configured)
    return item | ({"alerts": got} if got > 1 else {"alert": not negative})


def _due(item: dict[str, Any]) -> int:
    return int(item["alerts"]) if "alerts" in item else int(item["alert"])


def _alerts(rule: Rule, item: dict[str, Any], configured: Settings) -> int:
    """How many alerts the rule makes of the example."""
    written = item["events"] if "events" in item else [item["event"]]
    history = tuple(item.get("history", ()))
    tried = replace(rule, examples=(Example(item["name"], tuple(written), 0, history=history),))
    (outcome,) = examples.in_memory([tried], wiring.now(), wiring.terms(configured))
    return outcome.got


def _free(name: str, rule: Rule) -> str:
    """The name, with a number where the rule has an example of that name."""
    taken, number, free = {example.name for example in rule.examples}, 1, name
    while free in taken:
        number += 1
        free = f"{name} ({number})"
    return free


def put(rule: Rule, item: dict[str, Any]) -> Path:
    """Put the example into its file; gives the file."""
    own = rule.file or Path()
    if own.suffix in {".yaml", ".yml"}:
        _replace(own, yamledit.appended(_text(own), ("examples",), item, str(own)))
        return own
    beside = own.with_name(f"{own.stem}{SUFFIX}.yaml")
    text = _text(beside) if beside.exists() else ""
    path = (rule.rule_id,) if _by_rule(text, own, beside) else ()
    _replace(beside, yamledit.appended(text, path, item, str(beside)))
    return beside


def _by_rule(text: str, own: Path, beside: Path) -> bool:
    """Whether the file beside has a list for each rule id: an export may hold several rules."""
    data = next(iter(yamltext.read(text, str(beside)))).data if text else None
    return isinstance(data, dict) or (data is None and own.suffix == ".ndjson")


def _text(file: Path) -> str:
    """As it is, its line ends included."""
    if file.read_bytes()[:3] == b"\xef\xbb\xbf":
        hint = "save it without a byte order mark"
        raise DetectorError("begins with a byte order mark", place=_at(file), hint=hint)
    return textfile.decoded(file, textfile.MAX_BYTES)


def _replace(file: Path, text: str) -> None:
    """All of it or nothing, whatever happens meanwhile; a link stays one."""
    target = file.resolve()
    content = text.encode("utf-8")
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "wb") as writing:
            writing.write(content)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o644
        Path(name).chmod(mode)
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)


def refuse_packaged(file: Path) -> None:
    """What a package installed is not edited: the next version would take it away."""
    package = Path(packaged.__file__).parent
    if file.resolve().is_relative_to(package.resolve()):
        hint = "`detector init DIR` copies the rules into a folder of your own"
        raise SettingsError("a rule of the package itself", place=_at(file), hint=hint)


def _at(file: Path) -> Place:
    return Place(1, 1, file=str(file))


def _show(added: Added, *, json: bool) -> None:
    if json:
        show.document(_json(added))
    else:
        for line in yamledit.written(added.item):
            show.out().print(show.styled(line))
    _say(added.small.replaced, "replaced", None)
    _say(added.small.kept, "kept as it is, look whether it may be published", "yellow")
    if not added.holds:
        said = "as written it does not hold: `detector test` fails until the rule is changed"
        show.say(f"warning: {said}", "yellow")
    show.say(f"added to {show.clean(added.file)}" if added.file else "nothing written", "green")


def _json(added: Added) -> dict[str, Any]:
    return {
        "rule_id": added.rule.rule_id,
        "file": str(added.file) if added.file else None,
        "example": added.item,
        "holds": added.holds,
        "replaced": sorted(added.small.replaced),
        "kept": sorted(added.small.kept),
    }


def _say(names: frozenset[str], what: str, style: str | None) -> None:
    if names:
        show.say(f"{what}: {show.clean(', '.join(sorted(names)))}", style)
