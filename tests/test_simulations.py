"""The studies can be started as they say, and keep what they found before."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from simulations.harness import grid, keep_rows
from simulations.run import STUDIES


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_names_the_line_that_starts_it_and_what_it_writes(name: str) -> None:
    study = importlib.import_module(f"simulations.{name}")
    assert callable(study.main)
    assert f"python -m simulations.{name} " in study.__doc__
    assert ".json``" in study.__doc__


def test_rows_of_other_tables_stay_where_they_were(tmp_path: Path) -> None:
    def words(rows: list[dict]) -> str:
        return grid(("table", "utility"), [(row["table"], row["u"]) for row in rows])

    for rows in ([("a", 1), ("b", 2)], [("c", 3), ("a", 4)]):
        found = [{"table": t, "cost_weight": 0.0, "u": u} for t, u in rows]
        said = keep_rows(tmp_path, "study", found, words)
    assert said == "| table | utility |\n|---|---|\n| a | 4 |\n| b | 2 |\n| c | 3 |"
    assert (tmp_path / "study.md").read_text() == said + "\n"
    assert [row["u"] for row in json.loads((tmp_path / "study.json").read_text())] == [4, 2, 3]
