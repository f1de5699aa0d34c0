"""Routing tables are read as written, and refused with file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bandit_router.exceptions import InvalidInput, TableError
from bandit_router.simulator import read_table

PROMPTS = [
    {"id": "p1", "prompt": "one", "task": "x"},
    {"id": "p2", "prompt": "two, with a comma", "task": "y", "more": [1]},
    {"id": "p3", "prompt": "three"},
]
OUTCOMES = """id,model,quality,cost_usd
p1,a [=@/],1.0,0.01
p1,b,0.5,
p2,a [=@/],,0.02
p2,b,0,0.04
p3,b,1,0.06
"""


def write(folder: Path, prompts: str | None = None, outcomes: str = OUTCOMES, models: str = ""):
    folder.mkdir(exist_ok=True)
    lines = "\n".join(json.dumps(p) for p in PROMPTS) if prompts is None else prompts
    (folder / "prompts.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (folder / "outcomes.csv").write_text(outcomes)
    if models:
        (folder / "models.csv").write_text(models)
    return folder


def test_what_is_missing_is_not_eligible_and_costs_have_no_gaps(tmp_path: Path) -> None:
    table = read_table(write(tmp_path / "t", models="model,input_usd_per_m,core\nb,2,1\n"))
    assert table.name == "t"
    assert table.names == ("a [=@/]", "b")
    assert table.tasks == ("x", "y", "unknown")
    np.testing.assert_array_equal(table.quality, [[1, 0.5], [np.nan, 0], [np.nan, 1]])
    np.testing.assert_allclose(table.cost, [[0.01, 0.05], [0.02, 0.04], [0.015, 0.06]])
    assert table.models[1].input_usd_per_m == 2
    assert table.select("core").names == ("b",)
    assert table.reference_cost_usd == pytest.approx(0.015)


def test_selecting_models_leaves_out_prompts_that_none_answered(tmp_path: Path) -> None:
    table = read_table(write(tmp_path)).select("a [=@/]")
    assert table.prompts == ("one",)
    with pytest.raises(InvalidInput, match="did you mean"):
        table.select("a [=@]")


def test_without_any_cost_all_are_free(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, outcomes="id,model,quality\np1,a,1\np2,a,0\n"))
    assert not table.has_cost
    assert not table.cost.any()
    assert table.reference_cost_usd == 1.0


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"prompts": "{"}, r"prompts\.jsonl\.gz:1: no valid JSON"),
        ({"prompts": "[1]"}, r":1: give one JSON object"),
        ({"prompts": '{"id": "p1"}'}, r":1: 'prompt' must be text"),
        ({"prompts": '{"id":"a","prompt":"x"}\n{"id":"a","prompt":"y"}'}, r":2: .* twice"),
        ({"prompts": ""}, "no prompts"),
        ({"outcomes": "id,model\np1,a\n"}, r"outcomes\.csv:1: the header lacks quality"),
        ({"outcomes": OUTCOMES + "p9,a,1,\n"}, r":7: no prompt has the id 'p9'"),
        ({"outcomes": OUTCOMES + "p1,b,1,\n"}, r":7: 'b' answers 'p1' twice"),
        ({"outcomes": OUTCOMES + "p3,c,1.5,\n"}, r":7: quality is '1.5'"),
        ({"outcomes": OUTCOMES + "p3,c,nan,\n"}, r":7: quality is 'nan'"),
        ({"outcomes": OUTCOMES + "p3,c,1,inf\n"}, r":7: cost_usd is 'inf'"),
        ({"outcomes": OUTCOMES + "p3,c,1\n"}, r":7: 3 fields where the header has 4"),
        ({"outcomes": OUTCOMES + 'p3,"c,d",1,\n'}, r":7: 'c,d' is no model name"),
        ({"outcomes": 'id,model,quality\np1,"a'}, r"outcomes\.csv:2"),
        ({"outcomes": "id,model,quality\np1,a,\n"}, "no outcome has a quality"),
        ({"outcomes": OUTCOMES + "p3,c,1,1e300\n"}, r":7: cost_usd is '1e300'"),
        ({"outcomes": OUTCOMES + "p3,c\td,1,\n"}, r":7: 'c\\td' is no model name"),
        ({"outcomes": "id,model,quality,quality\np1,a,1,0\n"}, r":1: .* quality twice"),
        ({"prompts": '{"id": "p1", "prompt": "x \\ud800"}'}, r":1: 'prompt' holds half"),
        ({"models": "name\na\n"}, r"models\.csv:1: the header lacks model"),
        ({"models": "model,input_usd_per_m\nb,-1\n"}, r":2: input_usd_per_m is '-1'"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, files: dict, message: str) -> None:
    with pytest.raises(TableError, match=message):
        read_table(write(tmp_path, **files))


def test_files_that_are_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="no folder"):
        read_table(tmp_path / "none")
    with pytest.raises(TableError, match="lacks prompts"):
        read_table(tmp_path)
    write(tmp_path)
    (tmp_path / "prompts.jsonl.gz").write_bytes(b"no gzip")
    with pytest.raises(TableError, match="cannot be read"):
        read_table(tmp_path)


def test_damage_inside_a_compressed_file(tmp_path: Path) -> None:
    path = write(tmp_path) / "prompts.jsonl.gz"
    damaged = bytearray(path.read_bytes())
    damaged[12:40] = b"\xff" * 28
    path.write_bytes(damaged)
    with pytest.raises(TableError, match=r"prompts\.jsonl\.gz:1: cannot be read"):
        read_table(tmp_path)


def test_columns_come_in_any_order_with_quotes_and_other_line_ends(tmp_path: Path) -> None:
    prompts = '{"note": 1, "task": 7, "prompt": "eins", "id": 1}\n{"id": "2, b", "prompt": "zwei"}'
    outcomes = (
        'note,cost_usd,quality,model,id\r\n"a\nb",0.5,1,模型 "x",1\r\n,,0,模型 "x","2, b"\r\n'
    )
    table = read_table(write(tmp_path, prompts=prompts, outcomes=outcomes))
    assert table.names == ('模型 "x"',)
    assert table.tasks == ("7", "unknown")
    np.testing.assert_array_equal(table.quality, [[1], [0]])
    np.testing.assert_array_equal(table.cost, [[0.5], [0.5]])


def test_a_byte_order_mark_as_spreadsheets_write_it_is_no_obstacle(tmp_path: Path) -> None:
    write(tmp_path, outcomes="\ufeff" + OUTCOMES)
    assert read_table(tmp_path).names == ("a [=@/]", "b")


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prompts=st.text(), outcomes=st.text())
def test_nothing_else_ever_comes_out_of_nonsense(
    tmp_path: Path, prompts: str, outcomes: str
) -> None:
    prompts = prompts.encode("utf-8", "replace").decode()
    write(tmp_path, prompts=prompts)
    (tmp_path / "outcomes.csv").write_bytes(outcomes.encode("utf-8", "replace"))
    with pytest.raises(TableError):
        read_table(tmp_path)
