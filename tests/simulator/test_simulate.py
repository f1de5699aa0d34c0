"""Policies are played fairly, and what is printed is what was played."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy import stats

from bandit_router.cli import main
from bandit_router.config import Settings
from bandit_router.exceptions import InvalidInput
from bandit_router.simulator import make_world, read_table, simulate, text
from bandit_router.simulator.hindsight import choices
from bandit_router.simulator.play import play
from bandit_router.simulator.summary import binned, t_interval
from bandit_router.types import Model

ARMS = ("good", "cheap", "expert in y")


QUICK = {"progress": False, "processes": 1}


def test_the_contract_of_the_json(folder: Path) -> None:
    arguments = ["simulate", "--table", str(folder), "--policy"]
    arguments += ["global-thompson,random,best-single,fixed:expert in y,task-oracle,oracle"]
    arguments += ["--steps", "300", "--seeds", "3", "--cost-weight", "0.1", "--json"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    (table,) = json.loads(result.stdout)["tables"]
    assert {k: table[k] for k in ("table", "prompts", "steps", "seeds", "scenario")} == {
        "table": folder.name,
        "prompts": 200,
        "steps": 300,
        "seeds": 3,
        "scenario": "stationary",
    }
    assert table["reference_cost_usd"] == pytest.approx(0.01)
    for name, found in table["policies"].items():
        assert len(found["curve"]) == 48
        assert {len(share) for share in found["arm_share"].values()} == {48}
        assert set(found["arm_share"]) == set(ARMS)
        assert np.sum(list(found["arm_share"].values()), axis=0) == pytest.approx(np.ones(48))
        by_seed = np.array(found["utility_by_seed"])
        assert found["utility"] == pytest.approx(by_seed.mean())
        low, high = stats.t.interval(0.95, 2, by_seed.mean(), stats.sem(by_seed))
        if by_seed.std() > 0:
            assert found["utility_ci"] == pytest.approx([low, high])
        assert np.mean(found["utility_by_quarter"]) == pytest.approx(found["utility"])
        assert (found["decide_us_p50"] is None) == (
            name in ("best-single", "task-oracle", "oracle")
        )
    utility = {name: found["utility"] for name, found in table["policies"].items()}
    assert utility["oracle"] > utility["task-oracle"] > utility["best-single"] > utility["random"]
    assert table["policies"]["task-oracle"]["regret_task_oracle"] == 0.0
    assert table["policies"]["random"]["regret_task_oracle"] == pytest.approx(
        utility["task-oracle"] - utility["random"]
    )


def test_processes_do_not_change_the_result(folder: Path) -> None:
    def run(processes: int) -> dict:
        out = simulate(
            [folder], ["global-thompson", "random"], seeds=2, progress=False, processes=processes
        )
        for found in out["tables"][0]["policies"].values():
            found.pop("decide_us_p50")
            found.pop("update_us_p50")
        return out

    assert run(1) == run(2)


def test_from_the_second_pass_on_what_was_seen_tells_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bandit_router import Router

    table = read_table(folder)
    world = make_world(table, "stationary", 0, 600, 0.0)
    said: list[str] = []
    judge = Router.judge
    monkeypatch.setattr(
        Router, "judge", lambda self, f, **k: said.append(f.decision_id) or judge(self, f, **k)
    )
    run = play("fixed:good", table, world, vectors=None, settings=Settings())
    assert len(said) == 200  # one arm, one answer a prompt, whatever the number of passes
    assert len(run.utility) == 600


@pytest.fixture
def patchy(tmp_path: Path) -> Path:
    """100 prompts; `best` answers all of them, `other` every second one."""
    prompts = [json.dumps({"id": f"p{i}", "prompt": f"prompt {i}"}) for i in range(100)]
    outcomes = ["id,model,quality", *(f"p{i},best,1" for i in range(100))]
    outcomes += [f"p{i},other,0.5" for i in range(0, 100, 2)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(prompts))
    (tmp_path / "outcomes.csv").write_text("\n".join(outcomes))
    return tmp_path


def test_a_pass_is_over_the_prompts_that_the_scenario_can_play(
    patchy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bandit_router import Router

    table = read_table(patchy)
    world = make_world(table, "retire", 0, 100, 0.0)
    heard: list[tuple[int, str]] = []
    feedback = Router.feedback

    def listen(self: Router, said, *, time: float):
        heard.append((int(world.order[int(time)]), self.history(said.decision_id).answered_by))
        return feedback(self, said, time=time)

    monkeypatch.setattr(Router, "feedback", listen)
    play("random", table, world, vectors=None, settings=Settings())
    assert len(heard) == len(set(heard))

    (found,) = simulate([patchy], ["oracle"], seeds=1, scenario="retire")["tables"]
    assert found["steps"] == 50
    assert "50 of 100 prompts" in capsys.readouterr().err
    (twice,) = simulate([patchy], ["oracle"], seeds=1, scenario="retire", steps=100, **QUICK)[
        "tables"
    ]
    assert twice["policies"]["oracle"]["utility"] == pytest.approx(0.75)  # retired half-way
    assert twice["policies"]["oracle"]["utility_first_pass"] == 1.0


def test_prompts_that_no_chosen_model_answered_are_left_out_and_said_so(
    patchy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (found,) = simulate([patchy], ["random"], seeds=1, models="other", processes=1)["tables"]
    assert found["prompts"] == found["steps"] == 50
    assert "50 of 100 prompts" in capsys.readouterr().err


def test_every_policy_sees_the_same_order_and_passes_cover_the_table(folder: Path) -> None:
    table = read_table(folder)
    one, same, other = (make_world(table, "stationary", s, 450, 0.0).order for s in (1, 1, 2))
    assert (one == same).all()
    assert (one != other).any()
    assert sorted(one[:200]) == sorted(one[200:400]) == list(range(200))
    assert (one[:200] != one[200:400]).any()


def test_hindsight_respects_eligibility(folder: Path) -> None:
    table = read_table(folder).select("cheap,expert in y")
    world = make_world(table, "stationary", 0, 200, 0.0)
    for name in ("best-single", "task-oracle", "oracle"):
        chosen = choices(name, table, world, 0.0)
        assert not np.isnan(table.quality[world.order, chosen]).any()


def test_scenarios_do_what_they_say(folder: Path) -> None:
    table = read_table(folder)
    by_task = make_world(table, "by-task", 0, 200, 0.0)
    tasks = [table.tasks[i] for i in by_task.order]
    assert sum(a != b for a, b in pairwise(tasks)) == 1
    degrade = make_world(table, "degrade", 0, 200, 0.0)
    assert degrade.phases[1].start == 100
    np.testing.assert_array_equal(degrade.phases[1].quality[:, 0], table.quality[:, 0] / 2)
    price = make_world(table, "price", 0, 200, 0.0)
    np.testing.assert_allclose(price.phases[1].cost[:, 0], 10 * table.cost[:, 0])
    new = make_world(table, "new-arm", 0, 300, 0.0)
    assert [p.start for p in new.phases] == [0, 100]
    assert not new.phases[0].present[0]
    assert new.phases[1].present[0]
    retire = make_world(table, "retire", 0, 200, 0.0)
    assert not retire.phases[1].present[0]
    delay = make_world(table, "delay", 0, 2000, 0.0)
    assert delay.delay == 500
    assert delay.lost.mean() == pytest.approx(0.3, abs=0.05)
    noise = make_world(table, "noise", 0, 2000, 0.0)
    assert noise.flipped.mean() == pytest.approx(0.1, abs=0.03)


def test_scenarios_compose(folder: Path) -> None:
    table = read_table(folder)
    world = make_world(table, "new-arm+degrade+retire+delay+noise", 0, 600, 0.0)
    assert [p.start for p in world.phases] == [0, 200, 300]
    assert [bool(p.present[0]) for p in world.phases] == [False, True, False]
    np.testing.assert_array_equal(world.phases[2].quality[:, 0], table.quality[:, 0] / 2)
    assert world.delay == 500
    assert world.lost.any()
    assert world.flipped.any()
    alone = make_world(table, "degrade", 0, 600, 0.0)
    assert (alone.order == world.order).all()


def test_an_interrupt_keeps_and_prints_what_is_finished(folder: Path) -> None:
    arguments = ["simulate", "--table", str(folder), "--steps", "400", "--seeds", "200"]
    arguments += ["--policy", "random", "--json"]
    run = subprocess.Popen(
        [sys.executable, "-m", "bandit_router", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert isinstance(run.stderr, io.BufferedReader)
    shown, thousands = b"", [0.0]
    while thousands[-1] < 81:  # of 160: the task-oracle's 80, and the first runs of the policy
        assert run.poll() is None, shown
        shown = shown[-300:] + run.stderr.read1()
        thousands = [float(n) for n in re.findall(rb"([\d.]+)k/160k", shown)] or [0.0]
    os.killpg(run.pid, signal.SIGINT)
    out, err = run.communicate(timeout=240)
    assert run.returncode == 1, err
    assert b"Traceback" not in err
    found = json.loads(out)
    assert found["interrupted"]
    policies = found["tables"][0]["policies"]
    assert 1 <= len(policies["random"]["utility_by_seed"]) < 200


@pytest.mark.parametrize(
    "scenario", ["by-task", "degrade", "price", "new-arm", "retire", "delay", "noise"]
)
def test_every_scenario_can_be_played(folder: Path, scenario: str) -> None:
    result = simulate(
        [folder], ["global-thompson", "best-single"], seeds=2, steps=900, scenario=scenario, **QUICK
    )
    found = result["tables"][0]["policies"]["global-thompson"]
    share = np.array(found["arm_share"]["good"])
    if scenario == "new-arm":
        assert not share[:15].any()
        assert share[16:].any()
    if scenario == "retire":
        assert not share[24:].any()
    assert found["update_us_p50"] is not None


def test_a_learner_beats_chance(folder: Path) -> None:
    result = simulate([folder], ["global-thompson", "random"], seeds=5, steps=1000, **QUICK)
    found = result["tables"][0]["policies"]
    assert found["global-thompson"]["utility"] > found["random"]["utility"] + 0.05
    assert "global-thompson" in text(result)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"policies": ["thomson"]}, "policy"),
        ({"policies": ["fixed:nobody"]}, "policy"),
        ({"policies": []}, "policy"),
        ({"scenario": "storm"}, "scenario"),
        ({"scenario": "delay+storm"}, "scenario"),
        ({"models": "nobody"}, "models"),
        ({"seeds": 0}, "seeds"),
        ({"steps": 0}, "steps"),
        ({"steps": -5}, "steps"),
        ({"cost_weight": -1.0}, "cost_weight"),
        ({"cost_weight": float("nan")}, "cost_weight"),
    ],
)
def test_bad_names_are_refused(folder: Path, arguments: dict, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        simulate([folder], **{"policies": ["random"], **arguments, **QUICK})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("arguments", "field"),
    [({"policies": ["random", "fixed:good"]}, "policy"), ({"policies": ["kmeans"]}, "train")],
)
def test_what_the_last_table_refuses_is_told_before_the_first_is_played(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: dict, field: str
) -> None:
    other = folder / "other"
    other.mkdir()
    (other / "prompts.jsonl").write_text('{"id": "1", "prompt": "x"}')
    (other / "outcomes.csv").write_text("id,model,quality\n1,a,1\n")
    with pytest.raises(InvalidInput) as caught:
        simulate([folder, other], **arguments, **QUICK | {"progress": True})
    assert caught.value.field == field
    assert "playing" not in capsys.readouterr().err


def test_a_cost_weight_without_costs_is_refused(folder: Path) -> None:
    (folder / "outcomes.csv").write_text("id,model,quality\np1,a,1\np2,a,0\n")
    with pytest.raises(InvalidInput, match="no costs"):
        simulate([folder], ["random"], cost_weight=0.1, **QUICK)


def test_short_streams_fill_the_curve() -> None:
    assert binned(np.array([1.0, 2.0]), 4).tolist() == [1.0, 2.0, 2.0, 2.0]
    assert t_interval(np.array([1.0])) == [None, None]


def test_models_keep_their_prices(folder: Path) -> None:
    (folder / "models.csv").write_text("model,input_usd_per_m,output_usd_per_m\ngood,1,2\n")
    assert read_table(folder).models[0] == Model(
        name="good", input_usd_per_m=1.0, output_usd_per_m=2.0
    )
