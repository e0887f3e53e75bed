"""What was measured -> a table, `bench/results.json` and `bench/report.html`."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from scripts.benchmarks.measured import Measured

WIDTH, BAR = 560, 18
OFF_TERMINAL = 130

STYLE = """
:root { color-scheme: light dark; --engine: #2b6cb0; --floor: #8a8f98; --line: #8886; }
@media (prefers-color-scheme: dark) { :root { --engine: #63b3ed; --floor: #a0a6b0; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0; }
th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { text-align: left; }
.missed { font-weight: bold; color: #c53030; } .reached { color: #2f855a; }
@media (prefers-color-scheme: dark) { .missed { color: #fc8181; } .reached { color: #68d391; } }
svg { display: block; max-width: 100%; height: auto; }
svg text { fill: currentColor; font-size: 12px; }
.engine { fill: var(--engine); } .floor { fill: var(--floor); }
.spread { stroke: currentColor; stroke-width: 1.5; }
"""


def machine() -> dict[str, Any]:
    """What the times hold for."""
    return {
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }


def document(measured: Sequence[Measured], about: dict[str, Any]) -> dict[str, Any]:
    """As results.json has it."""
    return about | {"results": [one.document() for one in measured]}


def write(folder: Path, measured: Sequence[Measured], about: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(document(measured, about), indent=1) + "\n")
    (folder / "report.html").write_text(page(measured, about), "utf-8")


def show(measured: Iterable[Measured]) -> None:
    """The table, on standard output."""
    table = Table("scenario", *("median", "floor", "figure", "reach", ""))
    for one in measured:
        table.add_row(one.name, *_cells(one), _verdict(one))
    console = Console()
    if not console.is_terminal:
        console.width = OFF_TERMINAL
    console.print(table)


def _cells(one: Measured) -> tuple[str, str, str, str]:
    floor = _value(median(one.floor), one.unit) if one.floor else "-"
    figure = f"{one.figure:.2f} x" if one.floor else _value(one.figure, one.unit)
    unit = "x" if one.floor else one.unit
    reach = "-" if one.reach is None else _value(one.reach, unit)
    return _value(median(one.samples), one.unit), floor, figure, reach


def _verdict(one: Measured) -> str:
    return {None: "", True: "reached", False: "missed"}[one.reached]


def _value(value: float, unit: str) -> str:
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:,.0f} {unit}"


def page(measured: Sequence[Measured], about: dict[str, Any]) -> str:
    """One file, nothing fetched."""
    head = ("scenario", "median", "floor", "figure", "reach", "")
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(one))
        + f'<td class="{_verdict(one)}">{_verdict(one)}</td></tr>'
        for one in measured
    )
    said = ", ".join(f"{key}: {value}" for key, value in about.items())
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>detector: benchmark</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{STYLE}</style><h1>Benchmark</h1><p>{escape(said)}</p>"
        "<p>Times of one machine under one load; ratios to the floor, measured in turn with the "
        "engine, are what can be compared. Bars are medians, lines go from least to most.</p>"
        f"<table><tr>{''.join(f'<th>{name}</th>' for name in head)}</tr>{rows}</table>"
        + "".join(_plot(one) for one in measured)
        + "</html>\n"
    )


def _plot(one: Measured) -> str:
    """The engine's bar above its floor's."""
    bars = [("engine", "detector", one.samples)]
    bars += [("floor", one.against or "floor", one.floor)] if one.floor else []
    most = max(max(samples) for _, _, samples in bars) or 1.0
    scale = WIDTH / most
    drawn = "".join(
        _bar(number, kind, label, [value * scale for value in samples])
        + _amount(number, max(samples) * scale, _value(median(samples), one.unit))
        for number, (kind, label, samples) in enumerate(bars)
    )
    height = len(bars) * (BAR * 2 + 8) + 4
    return (
        f"<h2>{escape(one.name)}</h2>"
        f'<svg viewBox="0 0 {WIDTH + 110} {height}" width="{WIDTH + 110}" role="img" '
        f'aria-label="{escape(one.name)}">{drawn}</svg>'
    )


def _bar(number: int, kind: str, label: str, lengths: Sequence[float]) -> str:
    """Down to the `number`-th place, the label above it; `lengths` of all samples."""
    top = _top(number)
    middle, least, most = median(lengths), min(lengths), max(lengths)
    centre = top + BAR / 2
    return (
        f'<text x="0" y="{top - 4}">{escape(label)}</text>'
        f'<rect class="{kind}" x="0" y="{top}" width="{middle:.1f}" height="{BAR}" rx="2"/>'
        f'<line class="spread" x1="{least:.1f}" x2="{most:.1f}" y1="{centre}" y2="{centre}"/>'
    )


def _amount(number: int, left: float, said: str) -> str:
    return f'<text x="{left + 8:.1f}" y="{_top(number) + BAR / 2 + 4}">{escape(said)}</text>'


def _top(number: int) -> int:
    return number * (BAR * 2 + 8) + BAR
