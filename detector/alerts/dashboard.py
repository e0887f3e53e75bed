"""A space in, Kibana's saved objects out: a data view over its alerts and a dashboard, as NDJSON.

The shapes are those Kibana 8.8 exports, which 8.8 and later import and migrate. Panels stand in
the dashboard by value, so that the file is whole: each names the data view twice, in its own
references and in the dashboard's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from detector.alerts import placement

Columns: TypeAlias = dict[str, dict[str, Any]]

_WIDTH = 48
_COUNT = "count"


@dataclass(frozen=True, slots=True)
class Panel:
    """A Lens chart: its columns by id, how they are drawn, its place on a grid 48 wide."""

    id: str
    title: str
    kind: str
    columns: Columns
    drawn: Mapping[str, Any]
    x: int
    y: int
    width: int
    height: int

    @property
    def layer(self) -> str:
        return f"{self.id}-layer"

    @property
    def reference(self) -> str:
        """The name under which Lens looks for its data view."""
        return f"indexpattern-datasource-layer-{self.layer}"


def saved_objects(space: str) -> str:
    """NDJSON for Kibana's import of saved objects; a second import replaces the first."""
    view = placement.alias(space)
    lines = [_data_view(view, space), _dashboard(view, space, _panels())]
    return "".join(f"{_json(line)}\n" for line in lines)


def _panels() -> tuple[Panel, ...]:
    half = _WIDTH // 2
    return (
        _over_time("severity", "Alerts over time by severity", y=0),
        _top("rules", "Top rules", "Rule", "kibana.alert.rule.name", x=0, y=12),
        _top("tactics", "ATT&CK tactics", "Tactic", _TACTIC, x=half, y=12),
        _top("hosts", "Top hosts", "Host", "host.name", x=0, y=26),
        _top("containers", "Top containers", "Container", "container.id", x=half, y=26),
    )


_TACTIC = "kibana.alert.rule.threat.tactic.name"


def _over_time(id_: str, title: str, *, y: int) -> Panel:
    columns = {
        "time": _time(),
        "by": _terms("Severity", "kibana.alert.severity", size=4),
        _COUNT: _count(),
    }
    layer = {
        "layerId": f"{id_}-layer",
        "layerType": "data",
        "seriesType": "bar_stacked",
        "xAccessor": "time",
        "splitAccessor": "by",
        "accessors": [_COUNT],
    }
    drawn = {
        "legend": {"isVisible": True, "position": "right"},
        "valueLabels": "hide",
        "preferredSeriesType": "bar_stacked",
        "layers": [layer],
    }
    return Panel(id_, title, "lnsXY", columns, drawn, 0, y, _WIDTH, 12)


def _top(id_: str, title: str, label: str, field: str, *, x: int, y: int) -> Panel:
    columns = {"by": _terms(label, field, size=10), _COUNT: _count()}
    drawn = {
        "layerId": f"{id_}-layer",
        "layerType": "data",
        "columns": [{"columnId": "by"}, {"columnId": _COUNT}],
    }
    return Panel(id_, title, "lnsDatatable", columns, drawn, x, y, _WIDTH // 2, 14)


def _time() -> dict[str, Any]:
    return {
        "label": "@timestamp",
        "dataType": "date",
        "operationType": "date_histogram",
        "sourceField": "@timestamp",
        "isBucketed": True,
        "scale": "interval",
        "params": {"interval": "auto", "includeEmptyRows": True, "dropPartials": False},
    }


def _terms(label: str, field: str, *, size: int) -> dict[str, Any]:
    return {
        "label": label,
        "customLabel": True,
        "dataType": "string",
        "operationType": "terms",
        "sourceField": field,
        "isBucketed": True,
        "scale": "ordinal",
        "params": {
            "size": size,
            "orderBy": {"type": "column", "columnId": _COUNT},
            "orderDirection": "desc",
            "otherBucket": False,
            "missingBucket": False,
            "parentFormat": {"id": "terms"},
        },
    }


def _count() -> dict[str, Any]:
    return {
        "label": "Alerts",
        "customLabel": True,
        "dataType": "number",
        "operationType": "count",
        "sourceField": "___records___",
        "isBucketed": False,
        "scale": "ratio",
        "params": {"emptyAsNull": True},
    }


def _data_view(view: str, space: str) -> dict[str, Any]:
    return {
        "type": "index-pattern",
        "id": view,
        "attributes": {
            "name": f"Detector alerts ({space})",
            "title": view,
            "timeFieldName": "@timestamp",
            "allowNoIndex": True,
        },
        "references": [],
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": "8.0.0",
    }


def _dashboard(view: str, space: str, panels: tuple[Panel, ...]) -> dict[str, Any]:
    hidden = {"query": "not kibana.alert.building_block_type: *", "language": "kuery"}
    return {
        "type": "dashboard",
        "id": f"{view}-overview",
        "attributes": {
            "version": 1,
            "title": f"Detector alerts ({space})",
            "description": "What the rules found: when, how bad, by which rule, where.",
            "timeRestore": False,
            "optionsJSON": _json({"useMargins": True, "syncCursor": True}),
            "panelsJSON": _json([_panel(panel, view) for panel in panels]),
            "kibanaSavedObjectMeta": {"searchSourceJSON": _json({"query": hidden, "filter": []})},
        },
        "references": [_reference(f"{panel.id}:{panel.reference}", view) for panel in panels],
        "coreMigrationVersion": "8.8.0",
        "typeMigrationVersion": "8.9.0",
    }


def _panel(panel: Panel, view: str) -> dict[str, Any]:
    place = {"x": panel.x, "y": panel.y, "w": panel.width, "h": panel.height, "i": panel.id}
    return {
        "type": "lens",
        "panelIndex": panel.id,
        "gridData": place,
        "title": panel.title,
        "embeddableConfig": {"hidePanelTitles": False, "attributes": _lens(panel, view)},
    }


def _lens(panel: Panel, view: str) -> dict[str, Any]:
    layer = {
        "columns": panel.columns,
        "columnOrder": list(panel.columns),
        "incompleteColumns": {},
    }
    return {
        "title": panel.title,
        "description": "",
        "type": "lens",
        "visualizationType": panel.kind,
        "references": [_reference(panel.reference, view)],
        "state": {
            "datasourceStates": {"formBased": {"layers": {panel.layer: layer}}},
            "visualization": panel.drawn,
            "query": {"query": "", "language": "kuery"},
            "filters": [],
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }


def _reference(name: str, view: str) -> dict[str, str]:
    return {"type": "index-pattern", "id": view, "name": name}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
