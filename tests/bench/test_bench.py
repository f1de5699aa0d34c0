"""`bandit-router bench` prints figures; how large they are is not for a test to say."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner

from bandit_router.bench import SUITES, Run, clusterers, core, http, start, text
from bandit_router.bench.history import keep, last
from bandit_router.cli import main
from bandit_router.exceptions import InvalidInput

SMALL = Run(seconds=0.2, steps=60, events=1200)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusterers, "SIZES", (4, 40))
    monkeypatch.setattr(clusterers, "DIMENSIONS", (8, 24))
    monkeypatch.setattr(clusterers, "STEPS", 20)
    monkeypatch.setattr(clusterers, "LEVELS", ((40, 24),))
    monkeypatch.setattr(http, "ROUNDS", 1)
    monkeypatch.setattr(start, "ROUNDS", 1)


def usable(figures: dict[str, float]) -> bool:
    return all(isinstance(v, float) and math.isfinite(v) and v >= 0 for v in figures.values())


def test_it_prints_one_flat_object_of_figures_and_ratios() -> None:
    result = CliRunner().invoke(main, ["bench", "--json", "--suite", "clusterers"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert usable(figures)
    name = "dbstream_learn_us_m40_d24"
    ratio = figures[f"{name}_stock"] / figures[name]
    assert figures[f"{name}_ratio"] == pytest.approx(ratio, rel=1e-2)


def test_a_profile_and_a_history_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SUITES, "sums", lambda run: {"sum_us": float(sum(range(run.steps)))})
    arguments = ["bench", "--suite", "sums", "--steps", "20", "--profile", str(tmp_path)]
    arguments += ["--history", str(tmp_path / "history.jsonl")]
    for change in ("", "+0.0%"):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        assert "190" in result.stdout
        assert change in result.stdout
        assert "tottime" in result.stderr
    assert (tmp_path / "sums.prof").stat().st_size


def test_an_unknown_suite_is_bad_usage() -> None:
    result = CliRunner().invoke(main, ["bench", "--suite", "nothing"])
    assert result.exit_code == 2
    assert "clusterers" in result.output


def test_the_core_decides_among_so_many_clusters() -> None:
    router, vectors = core.prepared(256, 3)
    finest = [c for c in router.clusters() if c.level == 1]
    assert len(finest) == 256
    spent = core.timed(router, vectors, 100)
    counted = {name: len(times) for name, times in spent.items()}
    apart = {"decide": 50, "propensity": 50}
    assert counted == {**apart, "decide_at_once": 50, "map_update": 100, "learn": 100}
    assert all(spent["propensity"])  # it was there to be counted


def test_propensities_beside_monte_carlo() -> None:
    figures = core._propensities(SMALL)
    assert figures["propensity_error"] < 0.003 < figures["propensity_monte_carlo_error"]


def test_the_service_beside_an_empty_handler() -> None:
    figures = http.static(SMALL)
    assert usable(figures)
    assert {"route_static_ratio", "route_static_p99_ratio", "feedback_per_s"} <= set(figures)


def test_a_log_is_restored_to_what_it_was() -> None:
    figures = start._restored(SMALL)
    assert figures["restore_events"] >= SMALL.events
    assert figures["restore_s"] > 0


def test_a_history_is_kept_and_compared_with(tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl"
    assert last(file) == {}
    keep(file, {"a_us": 10.0, "b_us": 1.0})
    keep(file, {"a_us": 20.0})
    assert last(file) == {"a_us": 20.0, "b_us": 1.0}
    assert "+50.0%" in text({"a_us": 30.0, "new_us": 1.0}, last(file))
    file.write_text("nonsense\n", encoding="utf-8")
    with pytest.raises(InvalidInput, match="line 1"):
        last(file)


def test_growth_leaves_out_what_would_take_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "CLUSTERS", (4,))
    monkeypatch.setattr(core, "ARMS", (2,))
    monkeypatch.setattr(core, "EVENTS", (200, 400))
    figures = core.growth(SMALL)
    assert usable(figures)
    assert {"growth_decide_us_clusters_4", "growth_learn_us_arms_2"} <= set(figures)
    assert figures["growth_state_bytes_events_400"] > 0
    monkeypatch.setattr(core, "_LONGEST_S", 0.0)
    said: list[str] = []
    short = core.growth(Run(steps=10, events=1200, tell=said.append))
    assert "growth_state_bytes_events_400" not in short
    assert "left out" in said[-1]
