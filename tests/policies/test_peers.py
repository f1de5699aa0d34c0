"""The peers learn, restart, and say what chance each arm had; without the extra they say so."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bandit_router import Decision, Feedback, Model, Router, codec
from bandit_router.config import BanditSettings, BudgetSettings, Settings
from bandit_router.exceptions import MissingExtra, StoreError
from bandit_router.simulator import make_world, read_table, simulate
from bandit_router.simulator.play import play
from bandit_router.types import Event, Outcome, Request

MODULE = {
    "vw": "vowpalwabbit",
    "mabwiser": "mabwiser",
    "mabwiser-lints": "mabwiser",
    "paretobandit": "pareto_bandit",
}
PEERS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(module) is None, reason="the extra `peers` is not installed"
        ),
    )
    for name, module in MODULE.items()
]
FLEET = (
    Model(name="left [x|y:z]", input_usd_per_m=1.0, output_usd_per_m=1.0),
    Model(name="right", input_usd_per_m=2.0, output_usd_per_m=2.0),
)
LEFT, RIGHT = (model.name for model in FLEET)


def router(strategy: str, **bandit: Any) -> Router:
    settings = Settings(bandit=BanditSettings(strategy=strategy, **bandit))
    return Router(FLEET, settings=settings, embedder="none")


def live(one: Router, steps: int, delay: int = 0, **request: Any) -> list[Event]:
    """Let each arm be good on its own side, feedback coming `delay` decisions late."""
    rng = np.random.default_rng(0)
    log: list[Event] = [one.initial]
    waiting: list[tuple[Decision, float]] = []
    for _ in range(steps):
        x = rng.normal(size=4)
        decision = one.decide(vector=x, request=Request(**request))
        one.apply(decision)
        log.append(decision)
        waiting.append((decision, float(decision.model == (LEFT if x[0] < 0 else RIGHT))))
        if len(waiting) > delay:
            then, reward = waiting.pop(0)
            cost = 0.01 if then.model == LEFT else 0.02
            said = Feedback(decision_id=then.decision_id, reward=reward, cost_usd=cost)
            _, event = one.judge(said)
            assert event is not None
            one.apply(event)
            log.append(event)
    return log


def right(one: Router, **request: Any) -> float:
    rng = np.random.default_rng(1)
    found = 0
    for _ in range(100):
        x = rng.normal(size=4)
        decision = one.decide(vector=x, request=Request(**request))
        best = max(decision.candidates, key=lambda c: c.propensity).model
        found += best == (LEFT if x[0] < 0 else RIGHT)
    return found / 100


@pytest.mark.parametrize("strategy", PEERS)
@pytest.mark.parametrize("delay", [0, 50])
def test_it_learns_who_is_good_where_also_late(strategy: str, delay: int) -> None:
    one = router(strategy)
    live(one, 400, delay)
    assert right(one) >= 0.8


@pytest.mark.parametrize("strategy", PEERS)
def test_costs_come_into_what_it_learns(strategy: str) -> None:
    one = router(strategy, cost_weight=5.0, reference_cost_usd=0.02)
    live(one, 200)
    chances = [c.propensity for _ in range(20) for c in one.decide(vector=np.ones(4)).candidates]
    assert np.mean(chances[::2]) > 0.75  # the cheap one, though the other is good there
    within = one.decide(vector=np.ones(4), request=Request(max_cost_usd=0.015))
    assert [c.model for c in within.candidates] == [LEFT]


@pytest.mark.parametrize("strategy", PEERS)
def test_as_a_shadow_it_learns_from_what_others_chose(strategy: str) -> None:
    one = router("random", shadows=(strategy,))
    live(one, 400)
    found = 0
    for sign in (-1.0, 1.0):
        decision = one.decide(vector=np.array([sign, 0.1, 0.1, 0.1]))
        (shadow,) = decision.shadows
        assert sum(shadow.propensities) == pytest.approx(1.0)
        best = int(np.argmax(shadow.propensities))
        found += decision.candidates[best].model == (LEFT if sign < 0 else RIGHT)
    assert found == 2


@pytest.mark.parametrize("strategy", PEERS)
def test_the_same_events_give_the_same_state_however_often_it_was_asked(strategy: str) -> None:
    one = router(strategy)
    log = live(one, 80, delay=5)
    for _ in range(7):
        one.decide(vector=np.ones(4))
    again = Router.restore(log)
    assert again.snapshot() == one.snapshot()
    assert again.decide(vector=np.ones(4)) == one.decide(vector=np.ones(4))


@pytest.mark.parametrize("strategy", PEERS)
@pytest.mark.parametrize("steps", [1, 80])
def test_its_state_is_enough_to_go_on_from(strategy: str, steps: int) -> None:
    one = router(strategy)
    live(one, steps)
    again = Router.restore([], state=one.snapshot())
    assert again.restorable
    for r in (one, again):
        r.apply(r.change("model_set", {"name": "third"}))
        for step in range(5):
            decision = r.route(vector=[1.0, step, 0.5, -1.0], decision_id=f"new {step}")
            r.feedback(decision.decision_id, 0.5)
    assert again.snapshot() == one.snapshot()
    assert len(one.decide(vector=np.ones(4)).candidates) == 3


@pytest.mark.parametrize("strategy", [p for p in PEERS if p.values[0] == "vw"])
def test_a_model_of_other_options_or_in_pieces_is_refused(strategy: str) -> None:
    one = router(strategy)
    live(one, 20)
    body = codec.decode_state(one.snapshot())["strategies"]["policies"]["vw"]["model"]
    evil = body.replace(b"--gamma_scale 10", b"--audit_regressor"[:16])
    for model in (evil, body[:-40], body[:30], b"", "text", None):
        state = codec.decode_state(one.snapshot())
        state["strategies"]["policies"]["vw"]["model"] = model
        with pytest.raises(StoreError, match="damaged"):
            Router.restore([], state=codec.encode_state(state))


@pytest.mark.parametrize("strategy", PEERS)
def test_it_draws_as_it_says(strategy: str) -> None:
    one = router(strategy)
    live(one, 60)
    x = np.array([0.1, 1.0, 0.0, 0.2])
    decision = one.decide(vector=x)
    assert decision.exact
    wins = 0
    for seq in range(600):
        one.seq += 1  # another decision, other draws
        wins += one.decide(vector=x, decision_id=f"x{seq}").model == LEFT
    assert wins / 600 == pytest.approx(decision.candidates[0].propensity, abs=0.06)


@pytest.mark.parametrize("strategy", PEERS)
def test_revisions_failovers_and_removals_break_nothing(strategy: str) -> None:
    one = router(strategy)
    log = live(one, 40)
    decision = one.route(vector=np.ones(4))
    other = RIGHT if decision.model == LEFT else LEFT
    one.apply(one.outcome(Outcome(seq=0, time=0, decision_id=decision.decision_id, model=other)))
    for reward in (1.0, 0.0, 0.5):
        one.feedback(decision.decision_id, reward)
    assert isinstance(log[1], Decision)
    one.feedback(log[1].decision_id, cost_usd=0.5, source="late")
    one.apply(one.change("model_removed", {"name": RIGHT}))
    one.feedback(decision.decision_id, 0.25)
    assert one.route(vector=np.ones(4)).model == LEFT


@pytest.mark.parametrize("strategy", [p for p in PEERS if p.values[0] == "paretobandit"])
def test_paretobandits_own_pacer_keeps_to_the_budget(strategy: str) -> None:
    settings = Settings(
        bandit=BanditSettings(strategy=strategy), budget=BudgetSettings(usd_per_request=0.012)
    )
    one = Router(FLEET, settings=settings, embedder="none")
    log = [e for e in live(one, 600) if isinstance(e, Decision)]
    spent = np.mean([0.01 if d.model == LEFT else 0.02 for d in log[200:]])
    assert spent < 0.0135
    again = Router.restore([], state=one.snapshot())
    assert again.snapshot() == one.snapshot()


@pytest.mark.parametrize("strategy", PEERS)
def test_each_can_be_played(strategy: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    lines = [json.dumps({"id": str(i), "prompt": f"word {i}"}) for i in range(40)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    rows = [f"{i},{m},{float(rng.random() < 0.5)}" for i in range(40) for m in ("a", "b")]
    (tmp_path / "outcomes.csv").write_text("\n".join(["id,model,quality", *rows]))
    table = read_table(tmp_path)
    vectors = rng.standard_normal((40, 384)).astype(np.float32)
    world = make_world(table, "delay", 0, 60, 0.0)
    played = play(strategy, table, world, vectors=vectors, settings=Settings())
    assert set(played.arm.tolist()) == {0, 1}
    assert played.decide_us is not None


@pytest.mark.parametrize("strategy", MODULE)
def test_without_the_extra_the_error_names_it(
    strategy: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in [m for m in sys.modules if m.split(".")[0] == MODULE[strategy]]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, MODULE[strategy], None)
    with pytest.raises(MissingExtra, match=r"bandit-router\[peers\]"):
        router(strategy)
    with pytest.raises(MissingExtra, match=r"bandit-router\[peers\]"):
        simulate([tmp_path], [strategy], progress=False)
