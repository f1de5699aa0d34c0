"""A log replayed in parts gives the estimates of the log in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from bandit_router.cli import main
from bandit_router.exceptions import InvalidInput
from bandit_router.simulator import partitions
from bandit_router.simulator.moments import Moments
from bandit_router.simulator.replay import replay
from bandit_router.simulator.survey import _Lowest

MODELS = ("small", "maths", "large")
POLICIES = ("thompson", "random", "fixed:large")


def table(n: int, *, vectors: bool = True, propensity: bool = True, cost: bool = True) -> pa.Table:
    """Three models, one of them good at one kind; some say nothing, some bills are missing."""
    rng = np.random.default_rng(0)
    kind, action = rng.integers(2, size=n), rng.choice(3, size=n, p=[0.5, 0.3, 0.2])
    quality = np.array([[0.5, 0.9, 0.7], [0.6, 0.2, 0.8]])[kind, action]
    reward = (rng.random(n) < quality).astype(float)
    columns: dict[str, Any] = {
        "model": [MODELS[a] for a in action],
        "reward": np.where(rng.random(n) < 0.1, None, reward).tolist(),
        "prompt": [f"question {k} number {i}" for i, k in enumerate(kind)],
    }
    if propensity:
        p = np.array([0.5, 0.3, 0.2])[action] * rng.uniform(0.8, 1.0, size=n)
        columns["propensity"] = np.where(rng.random(n) < 0.02, None, p).tolist()
    if cost:
        bill = np.array([0.001, 0.004, 0.01])[action] * rng.uniform(0.5, 1.5, size=n)
        columns["cost_usd"] = np.where(rng.random(n) < 0.1, None, bill).tolist()
    if vectors:
        away = rng.normal(scale=0.2, size=(n, 4)) + np.eye(4)[kind]
        columns["embedding"] = away.astype(np.float32).tolist()
    return pa.table(columns)


def near(one: Any, other: Any) -> bool:
    """Tell whether two results are the same, numbers to 1e-9."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(near, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-9, abs=1e-9)
    return bool(one == other)


@pytest.mark.parametrize(
    ("columns", "options"),
    [
        ({}, {"cost_weight": 0.2}),
        ({}, {"clip": "auto", "interval": "bernstein"}),
        ({"propensity": False}, {}),
        ({"vectors": False, "cost": False}, {"clip": "shrink:5"}),
    ],
)
def test_the_estimates_are_those_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: dict[str, bool], options: Any
) -> None:
    rows = table(700, **columns)
    whole, folder = tmp_path / "log.parquet", tmp_path / "folder"
    pq.write_table(rows, whole)
    for name, (first, last) in {
        "day=1/a": (0, 300),
        "day=2/a": (300, 310),
        "day=2/b": (310, 700),
    }.items():
        file = folder / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows.slice(first, last - first), file, row_group_size=64)
    monkeypatch.setattr(partitions, "_ROWS", 47)
    quiet = {"embedder": "none", "progress": False, **options}
    assert not partitions.Partitions(whole).many
    policies = POLICIES if columns.get("vectors", True) else ("global-thompson", "random")
    in_memory, in_parts = replay(whole, policies, **quiet), replay(folder, policies, **quiet)
    assert near(in_parts, in_memory)
    if not columns:
        assert in_parts["policies"]["thompson"]["estimators"]["dr"]["value"] is not None
        assert in_parts["worth_it"]["best_mix"] is not None


def test_processes_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(table(300), tmp_path / "log.parquet")
    monkeypatch.setattr(partitions, "_MANY", 100)
    quiet = {"embedder": "none", "progress": False}
    here = replay(tmp_path / "log.parquet", POLICIES, **quiet)
    monkeypatch.setattr("bandit_router.simulator.streamed.WORTH_PROCESSES", 0)
    assert replay(tmp_path / "log.parquet", POLICIES, **quiet) == here


def test_what_cannot_be_done_in_parts_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    command = ["replay", str(folder), "--embedder", "none", "--policy", "random", "--json"]
    empty = CliRunner().invoke(main, command)
    assert empty.exit_code == 1
    assert "no .parquet file" in empty.stdout
    pq.write_table(table(60), folder / "1.parquet")
    done = CliRunner().invoke(main, command)
    assert json.loads(done.stdout)["log"]["decisions"] == 60
    for options, field in (
        (["--interval", "bootstrap"], "interval"),
        (["--policy", "shadow:linucb"], "policy"),
    ):
        refused = CliRunner().invoke(main, [*command, *options])
        assert json.loads(refused.stdout)["error"]["field"] == field
    bad = table(10).set_column(0, "model", pa.array(["small"] * 9 + [" "]))
    pq.write_table(bad, folder / "2.parquet")
    with pytest.raises(InvalidInput, match=r"2\.parquet, row 10: 'model'"):
        replay(folder, ["random"], embedder="none", progress=False)
    (folder / "2.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(InvalidInput, match="no valid Parquet"):
        replay(folder, ["random"], embedder="none", progress=False)
    (folder / "2.parquet").unlink()
    pq.write_table(table(5).append_column("more", pa.array([1] * 5)), folder / "3.parquet")
    silent = table(5).set_column(1, "reward", pa.nulls(5, pa.float64()))
    pq.write_table(silent, folder / "4.parquet")  # other columns, in another order, are no matter
    assert replay(folder, ["random"], embedder="none", progress=False)["log"]["decisions"] == 70


def test_moments_in_parts_are_those_of_the_whole() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(1e3, 1.0, size=(1000, 3))
    seen = Moments(3)
    for part in np.array_split(rows, [1, 7, 300]):
        seen.add(part)
    weights = np.array([1.0, -2.0, 0.5])
    assert seen.deviation(weights) == pytest.approx((rows @ weights).std(ddof=1), rel=1e-10)
    assert seen.mean == pytest.approx(rows.mean(axis=0), rel=1e-12)
    assert seen.sum_of_squares(1) == pytest.approx((rows[:, 1] ** 2).sum(), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 50, 1000])
def test_a_low_quantile_needs_only_the_lowest(n: int) -> None:
    numbers = np.random.default_rng(n).random(n)
    lowest = _Lowest(int(0.01 * n) + 2)
    for part in np.array_split(numbers, 7):
        lowest.add(part)
    assert lowest.quantile(n, 0.01) == pytest.approx(np.quantile(numbers, 0.01), rel=1e-12)
    assert lowest.least == numbers.min()
