"""`bandit-router bench` prints figures; how large they are is not for a test to say."""

from __future__ import annotations

import json
import math

import pytest
from click.testing import CliRunner

from bandit_router.bench import clusterers
from bandit_router.cli import main


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusterers, "SIZES", (4, 40))
    monkeypatch.setattr(clusterers, "DIMENSIONS", (8, 24))
    monkeypatch.setattr(clusterers, "STEPS", 20)


def test_it_prints_one_flat_object_of_figures_and_ratios() -> None:
    result = CliRunner().invoke(main, ["bench", "--json", "--suite", "clusterers"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert all(isinstance(v, float) and math.isfinite(v) and v > 0 for v in figures.values())
    name = "dbstream_learn_us_m40_d24"
    ratio = figures[f"{name}_stock"] / figures[name]
    assert figures[f"{name}_ratio"] == pytest.approx(ratio, rel=1e-2)


def test_an_unknown_suite_is_bad_usage() -> None:
    result = CliRunner().invoke(main, ["bench", "--suite", "nothing"])
    assert result.exit_code == 2
    assert "clusterers" in result.output
