"""A budget is kept, whatever comes back and when."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_router import Feedback, Model, Router, codec
from bandit_router.bandits.pacing import BudgetPacer, DayPacer
from bandit_router.config import parse_config
from bandit_router.exceptions import InvalidInput
from bandit_router.types import Candidate

COST = {"cheap": 0.001, "good": 0.01, "dear": 0.2}
QUALITY = {"cheap": 0.5, "good": 0.9, "dear": 0.95}


def candidates(noise: float) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(model=m, propensity=1 / 3, quality=QUALITY[m] + noise, cost_usd=COST[m])
        for m in COST
    )


def spend(pacer: BudgetPacer, steps: int, seed: int = 0) -> float:
    rng = np.random.default_rng(seed)
    total = 0.0
    for _ in range(steps):
        worth = {m: QUALITY[m] + rng.normal(0, 0.05) - pacer.price * COST[m] for m in COST}
        worth = {m: v for m, v in worth.items() if pacer.limit_usd() >= COST[m]}
        chosen = max(worth, key=worth.__getitem__)
        pacer.decided(candidates(rng.normal(0, 0.02)), COST[chosen])
        total += COST[chosen]
    return total / max(steps, 1)


@pytest.mark.parametrize("ceiling", [0.003, 0.009, 0.012, 0.05])
def test_the_mean_cost_stays_at_the_ceiling(ceiling: float) -> None:
    pacer = BudgetPacer(ceiling)
    assert spend(pacer, 3000) <= 1.01 * ceiling


def test_a_loose_budget_is_no_budget() -> None:
    pacer = BudgetPacer(1.0)
    spend(pacer, 500)
    assert pacer.price < 0.01


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 400), st.floats(0.002, 0.1))
def test_the_state_is_the_pacer(steps: int, ceiling: float) -> None:
    one, other = BudgetPacer(ceiling), BudgetPacer(1.0)
    spend(one, steps)
    other.load(codec.decode_state(codec.encode_state(one.state())))
    assert spend(one, 50, seed=1) == spend(other, 50, seed=1)
    assert codec.encode_state(one.state()) == codec.encode_state(other.state())


def test_actual_costs_replace_expected_ones_and_lateness_does_not_matter() -> None:
    settings_ = parse_config({"budget": {"usd_per_request": 0.01}}).settings
    fleet = [Model(name=m, input_usd_per_m=1e6 * c / 800, output_usd_per_m=1e6 * c / 800)
             for m, c in COST.items()]  # fmt: skip

    def balance(late: bool) -> float:
        router = Router(fleet, settings=settings_, embedder="none")
        said = []
        for step in range(40):
            decision = router.route(vector=[1.0, step / 40])
            said.append(Feedback(decision_id=decision.decision_id, cost_usd=0.004))
            if not late:
                router.feedback(said[-1])
        for feedback in said if late else ():
            router.feedback(feedback)
        assert router.pacer is not None
        return router.pacer.balance_usd

    expected = 40 * (0.985 * 0.01 - 0.004)
    assert balance(late=False) == pytest.approx(expected)
    assert balance(late=True) == pytest.approx(expected)


def day(
    pacer: DayPacer,
    start: float,
    requests: int,
    seed: int = 0,
    hours: tuple[float, float] = (0.0, 24.0),
) -> float:
    """Spend a day of requests, evenly spaced between two hours; return what it cost."""
    rng = np.random.default_rng(seed)
    total = 0.0
    for i in range(requests):
        time = start + 3600.0 * (hours[0] + (hours[1] - hours[0]) * i / requests)
        worth = {m: QUALITY[m] + rng.normal(0, 0.05) - pacer.price * COST[m] for m in COST}
        free = {m: v for m, v in worth.items() if pacer.limit_usd(time) >= COST[m]}
        chosen = max(free or {"cheap": 0.0}, key=(free or {"cheap": 0.0}).__getitem__)
        pacer.decided(candidates(rng.normal(0, 0.02)), COST[chosen], time)
        total += COST[chosen]
    return total


@pytest.mark.parametrize("mean", [0.003, 0.008, 0.05])
def test_a_day_stays_at_its_ceiling_and_uses_it(mean: float) -> None:
    requests = 3000
    pacer = DayPacer(mean * requests)
    spent = [day(pacer, 86_400.0 * d, requests, seed=d) for d in range(3)]
    assert max(spent) <= 1.01 * mean * requests  # the cheapest arm is always left
    assert min(spent[1:]) >= 0.85 * mean * requests


def test_office_hours_are_learnt() -> None:
    requests, mean = 2000, 0.008
    pacer = DayPacer(mean * requests)
    for d in range(3):
        spent = day(pacer, 86_400.0 * d, requests, seed=d, hours=(8.0, 18.0))
        assert spent <= 1.01 * mean * requests
    assert spent >= 0.9 * mean * requests
    half = day(pacer, 86_400.0 * 3, requests // 2, seed=3, hours=(8.0, 13.0))
    assert 0.35 * mean * requests < half < 0.65 * mean * requests  # the afternoon has its share


def test_an_edited_budget_knows_what_today_has_cost() -> None:
    pacer, other = DayPacer(1.0), DayPacer(1.0, 0.1)
    pacer.decided(candidates(0.0), 0.4, 100.0)
    other.follow(pacer)
    assert other.spent_usd == 0.4
    assert other.limit_usd(200.0) <= 0.6


def test_a_budget_a_day_needs_the_time() -> None:
    settings_ = parse_config({"budget": {"usd_per_day": 1.0}}).settings
    router = Router(list(COST), settings=settings_, embedder="none")
    with pytest.raises(InvalidInput, match="time"):
        router.route(vector=[1.0, 0.0])


def test_midnight_gives_the_budget_anew() -> None:
    pacer = DayPacer(0.02)
    for i in range(30):
        pacer.decided(candidates(0.0), COST["cheap"] if i else 0.019, 100.0 + i)
    assert pacer.limit_usd(200.0) == 0.0
    assert pacer.limit_usd(86_401.0) > 0.0


def test_other_ceilings_keep_what_is_known_of_prices() -> None:
    router = Router(list(COST), settings=parse_config({"budget": {"usd_per_day": 1.0}}).settings,
                    embedder="none")  # fmt: skip
    assert isinstance(router.pacer, DayPacer)
    for i in range(30):
        router.route(vector=[1.0, i / 30], time=float(i))
    router.pacer.price = 7.0
    other = parse_config({"budget": {"usd_per_request": 0.01}, "embedder": {"name": "none"}})
    router.apply(router.configuration(other.settings, list(COST)))
    assert not isinstance(router.pacer, DayPacer)
    assert router.pacer is not None
    assert (router.pacer.price, router.pacer.ceiling_usd) == (7.0, 0.01)


def test_a_day_survives_a_restart() -> None:
    settings_ = parse_config({"budget": {"usd_per_day": 1.0, "usd_per_request": 0.1}}).settings
    router = Router(list(COST), settings=settings_, embedder="none")
    for i in range(20):
        decision = router.route(vector=[1.0, i / 30], time=float(i))
        router.feedback(Feedback(decision_id=decision.decision_id, cost_usd=0.01))
    again = Router.restore([], state=router.snapshot())
    assert again.snapshot() == router.snapshot()
    assert isinstance(again.pacer, DayPacer)
    assert again.pacer.spent_usd == pytest.approx(0.2)
