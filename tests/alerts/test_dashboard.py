"""The saved objects for Kibana: whole, and consistent in themselves."""

from __future__ import annotations

import json
from typing import Any

from detector.alerts import dashboard, mapping, placement

VIEW, BOARD = (json.loads(line) for line in dashboard.saved_objects("default").splitlines())
PANELS: list[dict[str, Any]] = json.loads(BOARD["attributes"]["panelsJSON"])


def columns() -> list[dict[str, Any]]:
    """Every column of every panel."""
    return [
        column
        for panel in PANELS
        for layer in layers(panel).values()
        for column in layer["columns"].values()
    ]


def layers(panel: dict[str, Any]) -> dict[str, Any]:
    state = panel["embeddableConfig"]["attributes"]["state"]
    found: dict[str, Any] = state["datasourceStates"]["formBased"]["layers"]
    return found


def test_the_data_view_reads_the_alerts_of_its_space_alone() -> None:
    assert VIEW["attributes"]["title"] == placement.alias("default")
    assert VIEW["attributes"]["timeFieldName"] == "@timestamp"


def test_each_panel_names_its_data_view_inside_and_in_the_dashboard() -> None:
    outer = {reference["name"]: reference["id"] for reference in BOARD["references"]}
    inner: dict[str, str] = {}
    for panel in PANELS:
        references = panel["embeddableConfig"]["attributes"]["references"]
        names = {f"indexpattern-datasource-layer-{layer}" for layer in layers(panel)}
        assert {reference["name"] for reference in references} == names
        inner |= {f"{panel['panelIndex']}:{r['name']}": r["id"] for r in references}
    assert outer == inner
    assert set(outer.values()) == {VIEW["id"]}


def test_panels_draw_the_columns_and_layers_they_have() -> None:
    for panel in PANELS:
        drawn = panel["embeddableConfig"]["attributes"]["state"]["visualization"]
        for id_, layer in layers(panel).items():
            assert set(layer["columnOrder"]) == set(layer["columns"])
            assert f'"{id_}"' in json.dumps(drawn)
            for column in layer["columns"]:
                assert f'"{column}"' in json.dumps(drawn)


def test_panels_read_fields_that_the_mapping_has() -> None:
    fields = {column["sourceField"] for column in columns()}
    assert fields - {"___records___"} <= mapping.types().keys()
    assert {"kibana.alert.severity", "host.name", "container.id"} <= fields


def test_panels_do_not_cover_each_other() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridData"]
        taken = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken
        assert at["x"] + at["w"] <= 48
        cells |= taken


def test_strings_of_json_can_be_read_and_leave_building_blocks_out() -> None:
    attributes = BOARD["attributes"]
    assert json.loads(attributes["optionsJSON"])["useMargins"]
    query = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]
    assert query["query"] == "not kibana.alert.building_block_type: *"


def test_spaces_have_objects_of_their_own() -> None:
    other = [json.loads(line)["id"] for line in dashboard.saved_objects("soc").splitlines()]
    assert not {VIEW["id"], BOARD["id"]} & set(other)
