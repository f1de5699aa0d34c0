"""Settings are searched on some seeds, judged on others, and written as serve reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bandit_router.cli import main
from bandit_router.config import Settings, load_config
from bandit_router.exceptions import InvalidInput
from bandit_router.simulator.problems import Block, LogProblem, Problem, TableProblem, applied
from bandit_router.simulator.tune import config_text, text, tune

QUICK = {"processes": 1, "progress": False}


@pytest.fixture
def problem(folder: Path) -> TableProblem:
    return TableProblem.of(
        [folder], policy="global-thompson", steps=60, seeds=2, cost_weight=0.1, progress=False
    )


def test_the_command_writes_what_serve_reads_and_a_study_is_shared(
    folder: Path, tmp_path: Path
) -> None:
    arguments = ["tune", "--table", str(folder), "--policy", "global-thompson", "--json"]
    arguments += ["--steps", "50", "--seeds", "1", "--cost-weight", "0.2", "--processes", "1"]
    arguments += ["--study", f"sqlite:///{tmp_path}/study.db", "--scenario", "stationary,noise"]
    for number, name in enumerate(("one.toml", "two.toml"), start=1):
        out = ["--trials", "2", "--out", str(tmp_path / name)]
        result = CliRunner().invoke(main, [*arguments, *out])
        assert result.exit_code == 0, result.stderr
        found = json.loads(result.stdout)
        assert found["trials"] == 2 * number  # the second machine goes on with the first's study
        config = load_config(tmp_path / name)
        assert config.settings.bandit.strategy == "global-thompson"
        assert config.settings.bandit.cost_weight == 0.2
        assert {model.name for model in config.models} == {"good", "cheap", "expert in y"}
    again = CliRunner().invoke(main, [*arguments, *out])
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    nowhere = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "no" / "x.toml")])
    assert "is no folder" in nowhere.stderr


def test_the_gain_is_measured_where_the_search_did_not_look(problem: TableProblem) -> None:
    found = tune(problem, trials=3, **QUICK)
    held = found["held_out"]
    overrides = found["best"]
    seeds = range(1000, 1005)
    (job,) = problem.jobs
    tuned = replace(job, settings=applied(job.settings, overrides))
    gaps = [
        np.mean(tuned.run("global-thompson", seed, lambda n: None).utility)
        - np.mean(job.run("global-thompson", seed, lambda n: None).utility)
        for seed in seeds
    ]
    assert held["gain"] == pytest.approx(np.mean(gaps))
    assert "5 other seeds" in held["on"]
    assert found["search"]["tuned"] >= found["search"]["default"]  # the defaults are tried first
    assert found["kept"] == ("tuned" if held["gain"] > 0 else "default")


def test_defaults_that_nothing_beats_are_kept() -> None:
    held = {"default": 0.6, "tuned": 0.5, "gain": -0.1, "ci": [-0.2, 0.0], "on": "other seeds"}
    found = {
        "trials": 3,
        "search": {"default": 0.6, "tuned": 0.7},
        "held_out": held,
        "kept": "default",
        "max_cost_usd": None,
        "interrupted": False,
    }
    assert "the defaults are kept" in text(found)
    lucky = found | {"kept": "tuned", "held_out": held | {"gain": 0.1, "ci": [-0.1, 0.3]}}
    assert "may be luck" in text(lucky)


def test_below_a_ceiling_the_cost_weight_is_searched(problem: TableProblem) -> None:
    capped = replace(problem, ceiling=0.005)
    assert capped.objective([Block(np.array([0.9]), 0.004)]) == 0.9
    assert capped.objective([Block(np.array([0.9]), 0.01)]) == -2.0
    found = tune(capped, trials=3, **QUICK)
    assert "cost_weight" in found["best"]["bandit"]
    assert "cost_weight" in config_text(capped, found)


class Dear(Problem):
    """A place where the defaults earn most, and cost twice the ceiling."""

    policy, ceiling, by_seed = "global-thompson", 1.0, True

    def blocks(self, settings: dict, held_out: bool, tick: Callable[[int], object]) -> list[Block]:
        usual = settings == self.default()
        earned = [0.9, 0.9, 0.9] if usual else [0.6, 0.6, 0.5]
        return [Block(np.array([value]), 2.0 if usual else 0.5) for value in earned]

    def steps(self, held_out: bool) -> int:
        return 1

    def describe(self) -> dict:
        return {}

    def held_out_words(self) -> str:
        return "three seeds"

    def config(self, settings: dict) -> dict:
        return settings


def test_defaults_that_cost_more_than_the_ceiling_are_not_kept() -> None:
    found = tune(Dear(), trials=2, **QUICK)
    assert found["held_out"]["gain"] < 0
    assert found["kept"] == "tuned"
    assert found["overrides"] == found["best"]
    assert "tuned $0.5, defaults $2; the ceiling is $1" in text(found)
    assert "The defaults cost too much" in text(found)


def rows(n: int, **more: object) -> list[dict]:
    rng = np.random.default_rng(1)
    models = rng.choice(["good", "bad"], n)
    mean = {"good": 0.8, "bad": 0.3}
    return [
        {"prompt": f"p {i}", "model": m, "reward": float(rng.random() < mean[m]), **more}
        for i, m in enumerate(models.tolist())
    ]


def write(path: Path, log: list[dict]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in log))
    return path


def test_a_log_is_searched_in_its_earlier_part_and_judged_in_its_later(tmp_path: Path) -> None:
    log = write(tmp_path / "l.jsonl", rows(200, propensity=0.5))
    problem = LogProblem.of(log, policy="global-thompson", embedder="none", progress=False)
    (early,) = problem.blocks({}, False, lambda n: None)
    (late,) = problem.blocks({}, True, lambda n: None)
    assert (len(early.value), len(late.value)) == (120, 80)
    found = tune(problem, trials=2, **QUICK)
    assert "later 40% of the log" in found["held_out"]["on"]
    assert found["held_out"]["ci"][0] <= found["held_out"]["gain"] <= found["held_out"]["ci"][1]
    path = tmp_path / "c.toml"
    path.write_text(config_text(problem, found))
    assert {model.name for model in load_config(path).models} == {"good", "bad"}


def test_what_cannot_be_searched_is_refused(folder: Path, tmp_path: Path) -> None:
    blind = write(tmp_path / "l.jsonl", rows(50))
    with pytest.raises(InvalidInput, match="no propensities"):
        LogProblem.of(blind, policy="global-thompson", embedder="none", progress=False)
    cases = [
        ([], 2, "a LOG or --table"),
        ([str(blind), "--table", str(folder)], 2, "not both"),
        (["--table", str(folder), "--policy", "linucb"], 2, "not of 'linucb'"),
        (["--table", str(folder), "--max-cost", "1", "--cost-weight", "1"], 2, "highest cost or a"),
        (["--table", str(folder), "--study", "nonsense://x"], 1, "sqlite:///FILE"),
        (["--table", str(folder), "--scenario", "storm"], 2, "no scenario 'storm'"),
    ]
    for arguments, code, said in cases:
        if "--policy" not in arguments:
            arguments = [*arguments, "--policy", "global-thompson"]
        out = ["--out", str(tmp_path / "o.toml"), "--trials", "1"]
        result = CliRunner().invoke(main, ["tune", *arguments, *out])
        assert result.exit_code == code, result.output
        assert said in result.stderr
    assert not (tmp_path / "o.toml").exists()


def test_settings_are_replaced_by_table_and_key() -> None:
    changed = applied(
        Settings(), {"clusterer": {"resolutions": [1.0, 0.7]}, "bandit": {"floor": 0.1}}
    )
    assert changed.clusterer.resolutions == (1.0, 0.7)
    assert changed.bandit.floor == 0.1
    assert applied(Settings(), {}) == Settings()
