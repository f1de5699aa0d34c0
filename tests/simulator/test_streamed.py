"""A log replayed in parts gives the estimates of the log in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from bandit_router.cli import main
from bandit_router.config import Settings, parse_config
from bandit_router.exceptions import InvalidInput
from bandit_router.simulator import columns, partitions
from bandit_router.simulator.columns import of_batch, of_rows
from bandit_router.simulator.log_arrays import Bills, Log, as_log
from bandit_router.simulator.logs import of_row
from bandit_router.simulator.moments import Moments
from bandit_router.simulator.passes import Passage
from bandit_router.simulator.replay import replay
from bandit_router.simulator.standing import RunningMeans, Standing, stands
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


def log_of(rows: pa.Table) -> Log:
    """What can be evaluated of a table, in memory."""
    part = of_batch(Path("here"), 0, rows.combine_chunks().to_batches()[0])
    part = part.taken(~np.isnan(part.reward) & ~np.isnan(part.propensity))
    log = as_log(part, part.models, None, with_propensity=True)
    bills = Bills.of(log.action, log.reward, log.cost, len(log.models))
    return replace(log, bills=bills)


@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("name", ["fixed:large", "random", "length", "features", "failover"])
def test_a_policy_that_learns_nothing_need_not_go_through_the_log(name: str, some: bool) -> None:
    log = log_of(table(200, vectors=False))
    prompts = np.array(["why?", "x" * 900, "def f():", None, "y" * 5000], dtype=object)
    log = replace(log, prompts=prompts[np.arange(len(log)) % 5])
    if some:  # of every other decision the last model, if it is not the one that answered
        able = [log.models[:2] if a < 2 and i % 2 else log.models for i, a in enumerate(log.action)]
        log = replace(log, eligible=able)
    assert stands(name, Settings())
    asked, told = Passage(name, log.models, Settings()), Standing(name, log.models, Settings())
    assert np.array_equal(told.target(log), asked.go_through(log).target)
    asked = Passage(name, log.models, Settings(), 0.15)
    told = Standing(name, log.models, Settings(), 0.15)
    kept = asked.go(log)
    assert told.lived(log) == kept
    assert isinstance(kept, list)
    assert 0 < len(kept) < len(log)


def test_who_learns_or_has_company_goes_through_the_log() -> None:
    assert not any(stands(name, Settings()) for name in ("thompson", "lints", "global-thompson"))
    canary = parse_config({"bandit": {"canary": "random"}}).settings
    paced = parse_config({"budget": {"usd_per_request": 0.1}}).settings
    assert not stands("length", canary)
    assert not stands("length", paced)


def test_running_means_know_what_came_before_and_nothing_else() -> None:
    log = log_of(table(300, vectors=False))
    means, found = RunningMeans(3), []
    for part in (slice(0, 7), slice(7, 8), slice(8, None)):
        fields = ("prompts", "action", "reward", "cost", "propensity")
        cut = replace(log, **{name: getattr(log, name)[part] for name in fields})
        found.append(means.go_through(cut))
    quality = np.concatenate([run.quality for run in found])
    cost = np.concatenate([run.cost for run in found])
    for i in (0, 1, 7, 150, len(log) - 1):
        for arm in range(3):
            mine = log.action[:i] == arm
            bills = log.cost[:i][mine & ~np.isnan(log.cost[:i])]
            expected = (log.reward[:i][mine].sum() + 0.5) / (mine.sum() + 1)
            assert quality[i, arm] == pytest.approx(expected)
            assert log.bills is not None
            assert cost[i, arm] == pytest.approx(
                bills.mean() if len(bills) else log.bills.typical[arm]
            )


def test_means_as_the_model_of_the_rewards(tmp_path: Path) -> None:
    rows = table(900)
    pq.write_table(rows, tmp_path / "log.parquet")
    (tmp_path / "folder").mkdir()
    pq.write_table(rows, tmp_path / "folder" / "log.parquet")
    quiet = {"embedder": "none", "progress": False}
    policies = ("global-thompson", "fixed:maths")
    ours = replay(tmp_path / "log.parquet", policies, **quiet)
    in_memory = replay(tmp_path / "log.parquet", policies, reward_model="means", **quiet)
    in_parts = replay(tmp_path / "folder", policies, reward_model="means", **quiet)
    assert near(in_parts, in_memory)
    for name in policies:
        one, other = (found["policies"][name]["estimators"] for found in (ours, in_memory))
        assert one["ips"] == other["ips"]  # which need no model
        assert one["replay"] == other["replay"]
        assert one["dr"] != other["dr"]
        assert other["dr"]["ci"][0] < one["dr"]["value"] < other["dr"]["ci"][1]
    command = ["replay", str(tmp_path / "folder"), "--embedder", "none", "--policy", "random"]
    told = CliRunner().invoke(main, [*command, "--reward-model", "means"])
    assert "each model's mean so far" in told.stdout
    with pytest.raises(InvalidInput, match="give posterior, means"):
        replay(tmp_path / "folder", policies, **quiet, reward_model="none")


ODD: dict[str, list[Any]] = {
    "model": ["small"] * 6,
    "prompt": ["a", "b", None, "d", "e", "f"],
    "reward": [0.0, None, 1.0, 0.5, 1.0, 0.0],
    "propensity": [0.5, 0.2, None, 1.0, 0.3, 0.4],
    "cost_usd": [None, 0.0, 1.0, 2.0, 3.0, None],
    "embedding": [[3.0, 4.0]] * 6,
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"embedding": [[3.0, 4.0], None, [1.0, 0.0], [1.0], [2.0, 2.0, 1.0], [0.5, 0.5]]}, None),
        ({"reward": ["0", None, "1.0", ".5", "1", "0"]}, None),
        ({"reward": [0, None, 1, 0, 1, 0], "cost_usd": [None] * 6}, None),
        ({"reward": [0.0, None, 1.0, 0.5, 1.5, 0.0]}, "row 105: reward is 1.5"),
        ({"reward": [0.0, None, float("nan"), 0.5, 1.0, 0.0]}, "row 103: reward is nan"),
        ({"reward": [True, None, True, False, True, True]}, "row 101: reward is True"),
        ({"propensity": [0.5, 0.2, None, 0.0, 0.3, 0.4]}, "row 104: a propensity of 0"),
        ({"cost_usd": [-1.0, 0.0, 1.0, 2.0, 3.0, None]}, "row 101: cost_usd is -1"),
        ({"model": ["small", "a,b"] * 3}, "row 102: 'a,b' is no model name"),
        ({"model": ["small", None] * 3}, "row 102: 'model' must be text"),
        ({"prompt": ["a", "b", "c", " \x1c\u2003", "e", "f"]}, "row 104: 'prompt' must be text"),
        ({"embedding": None}, "row 103: 'prompt' must be text"),
        ({"embedding": [[3.0, 4.0], [0.0, 0.0]] * 3}, "row 102: embedding must be finite"),
        ({"embedding": [[3.0, 4.0], [1.0, None]] * 3}, "row 102: embedding must be finite"),
        ({"model": None}, "row 101: no 'model'"),
    ],
)
def test_columns_are_what_single_rows_are(changed: dict[str, Any], said: str | None) -> None:
    held = {name: values for name, values in (ODD | changed).items() if values is not None}
    (batch,) = pa.table(held).to_batches()
    if said is not None:
        with pytest.raises(InvalidInput, match=said):
            of_batch(Path("here"), 100, batch)
        return
    rows = partitions.rows_of_batch(Path("here"), 100, batch)
    one, other = of_batch(Path("here"), 100, batch), of_rows([of_row(*row) for row in rows])
    for name in ("action", "reward", "propensity", "cost", "written"):
        mine, theirs = getattr(one, name), getattr(other, name)
        assert np.array_equal(mine, theirs, equal_nan=name in ("reward", "propensity", "cost"))
    assert one.models == other.models
    assert one.prompts.tolist() == other.prompts.tolist()
    assert one.vectors is not None
    assert other.vectors is not None
    for mine, theirs in zip(one.vectors, other.vectors, strict=True):
        assert (mine is None) == (theirs is None)
        assert mine is None or np.array_equal(mine, theirs)


def test_what_is_usual_is_not_read_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("row by row")

    monkeypatch.setattr(columns, "of_row", never)
    for vectors in (True, False):
        (batch,) = table(50, vectors=vectors).combine_chunks().to_batches()
        assert len(of_batch(Path("here"), 0, batch)) == 50
