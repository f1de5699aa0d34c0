"""What policies ask of the world in simulation: a judge that errs, providers that fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from bandit_router.config import LLMJudgeSettings, Settings
from bandit_router.simulator import make_world, read_table, simulate
from bandit_router.simulator.hindsight import choices
from bandit_router.simulator.judge import SimulatedJudge
from bandit_router.simulator.outages import outages
from bandit_router.simulator.play import play
from bandit_router.types import Model

ARMS = ("main", "spare", "weak")
QUICK: dict[str, Any] = {"progress": False, "processes": 1, "seeds": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """400 prompts of two tasks: `main` is best at x, `spare` at y."""
    rng = np.random.default_rng(0)
    prompts, outcomes = [], ["id,model,quality,cost_usd"]
    for i in range(400):
        task = "xy"[i % 2]
        prompts.append(json.dumps({"id": f"p{i}", "prompt": f"{task} {i}", "task": task}))
        chance = {"main": 0.9 if task == "x" else 0.4, "spare": 0.7, "weak": 0.1}
        outcomes += [f"p{i},{a},{float(rng.random() < chance[a])},0.001" for a in ARMS]
    (tmp_path / "prompts.jsonl").write_text("\n".join(prompts))
    (tmp_path / "outcomes.csv").write_text("\n".join(outcomes))
    prices = ["model,input_usd_per_m,output_usd_per_m", "main,10,30", "spare,1,3", "weak,0.1,0.3"]
    (tmp_path / "models.csv").write_text("\n".join(prices))
    return tmp_path


def judged(error: float, **fields: Any) -> Settings:
    return Settings(llm_judge=LLMJudgeSettings(error_rate=error, **fields))


def test_a_judge_is_wrong_as_often_as_it_says() -> None:
    models = tuple(Model(name=name) for name in ARMS)
    judge = SimulatedJudge(LLMJudgeSettings(error_rate=0.3), models, seed=0)
    utility = np.array([0.2, 0.9, 0.5])
    said = [judge.ask("hello", ARMS, utility, step).model for step in range(2_000)]
    assert np.mean([name == "spare" for name in said]) == pytest.approx(0.7, abs=0.03)
    assert set(said) == set(ARMS)
    assert judge.ask("hello", ("weak",), utility, 0).model == "weak"


def test_a_judge_that_never_errs_is_the_task_oracle_less_its_cost(folder: Path) -> None:
    free = {"input_usd_per_m": 0.0, "output_usd_per_m": 0.0}
    policies = ["llm-judge", "task-oracle"]
    found = {
        price: simulate([folder], policies, settings=settings, cost_weight=0.1, **QUICK)
        for price, settings in (("free", judged(0.0, **free)), ("paid", judged(0.0)))
    }
    paid, none = (found[p]["tables"][0]["policies"] for p in ("paid", "free"))
    assert none["llm-judge"]["utility"] == pytest.approx(none["task-oracle"]["utility"])
    asking = paid["llm-judge"]["cost_usd"] - none["llm-judge"]["cost_usd"]
    assert asking > 1e-6
    reference = found["paid"]["tables"][0]["reference_cost_usd"]
    lost = none["llm-judge"]["utility"] - paid["llm-judge"]["utility"]
    assert lost == pytest.approx(0.1 * asking / reference)


def test_a_judge_of_a_higher_error_rate_earns_less(folder: Path) -> None:
    earned = [
        simulate([folder], ["llm-judge"], settings=judged(error), **QUICK)["tables"][0]["policies"][
            "llm-judge"
        ]["quality"]
        for error in (0.0, 0.5, 1.0)
    ]
    assert earned == sorted(earned, reverse=True)


def test_outages_last_and_leave_a_model_while_one_of_its_providers_is_up() -> None:
    down = outages(4, 200_000, seed=1)
    assert down.mean() == pytest.approx(1 / 16, abs=0.02)
    assert (down[:, 0] == down[:, 3]).all()  # the same two providers
    begins = np.flatnonzero(~down[:-1, 0] & down[1:, 0])
    assert down[:, 0].sum() / len(begins) == pytest.approx(50, rel=0.3)  # either ends it
    assert (outages(4, 100, seed=1) == down[:100]).all()


def test_failover_goes_to_the_next_model_while_the_main_one_is_down(folder: Path) -> None:
    table = read_table(folder)
    world = make_world(table, "outage", 0, 6_000, 0.0)
    assert world.down is not None
    played = play("failover", table, world, vectors=None, settings=Settings())
    main, spare = table.names.index("main"), table.names.index("spare")
    nobody = world.down.all(axis=1)
    gone = world.down[:, main] & ~nobody
    assert gone.any()
    assert (played.arm[~gone] == main).all()
    assert (played.arm[gone & ~world.down[:, spare]] == spare).all()


@pytest.mark.parametrize("policy", ["global-thompson", "random", "fixed:main"])
def test_whoever_chooses_a_model_that_is_down_is_served_by_the_next(
    folder: Path, policy: str
) -> None:
    table = read_table(folder)
    world = make_world(table, "outage", 0, 3_000, 0.0)
    assert world.down is not None
    settings = msgspec.structs.replace(Settings())
    played = play(policy, table, world, vectors=None, settings=settings)
    served = ~world.down[np.arange(world.steps), played.arm]
    assert (served | world.down.all(axis=1)).all()
    for name in ("best-single", "task-oracle", "oracle"):
        arm = choices(name, table, world, 0.0)
        assert (~world.down[np.arange(world.steps), arm] | world.down.all(axis=1)).all()
