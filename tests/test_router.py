"""The router is the fold of its events."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_router import Decision, Feedback, Model, Router, codec
from bandit_router.config import Settings, parse_config
from bandit_router.exceptions import (
    ConfigError,
    InvalidInput,
    NoEligibleArm,
    StoreError,
    UnknownDecision,
    UnknownModel,
)
from bandit_router.memory import settle
from bandit_router.types import Event, Outcome, Request

FLEET = (
    Model(name="small", input_usd_per_m=0.1, output_usd_per_m=0.4),
    Model(name="large [x=1]@p/q", input_usd_per_m=2.5, output_usd_per_m=10.0),
    Model(name="old", supports=("json",), context_tokens=100),
)


def vectors(n: int, dimension: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dimension))


def router(**bandit: object) -> Router:
    return Router(FLEET, settings=parse_config({"bandit": bandit}).settings, embedder="none")


def lived(steps: int = 60, **bandit: object) -> tuple[Router, list[Event]]:
    """A router with a past, and its log."""
    out = router(**bandit)
    log: list[Event] = [out.initial]
    for step, vector in enumerate(vectors(steps)):
        decision = out.decide(vector=vector, time=float(step))
        out.apply(decision)
        log.append(decision)
        if step % 3:
            _, event = out.judge(
                Feedback(decision_id=decision.decision_id, reward=step % 2, cost_usd=0.001 * step)
            )
            assert event is not None
            out.apply(event)
            log.append(event)
    return out, log


def test_the_same_events_give_the_same_state() -> None:
    one, log = lived()
    again = Router.restore(log)
    assert again.snapshot() == one.snapshot()
    assert lived()[1] == log


@pytest.mark.parametrize("strategy", ["thompson", "global-thompson", "random", "fixed:small"])
def test_a_snapshot_and_the_events_after_it_are_the_fold(strategy: str) -> None:
    _, log = lived(strategy=strategy)
    histories = _recall(log)
    half = Router.restore(log[:40])
    resumed = Router.restore(log[40:], state=half.snapshot(), recall=histories)
    assert resumed.snapshot() == Router.restore(log).snapshot()


def _recall(log: list[Event]):  # type: ignore[no-untyped-def]
    from bandit_router.types import History

    def recall(decision_id: str, before: int) -> History | None:
        mine = [e for e in log if e.seq < before and getattr(e, "decision_id", None) == decision_id]
        if not mine:
            return None
        return History(
            decision=mine[0],  # type: ignore[arg-type]
            outcomes=tuple(e for e in mine if isinstance(e, Outcome)),
            feedback=tuple(e for e in mine if isinstance(e, Feedback)),
        )

    return recall


def test_a_copy_goes_its_own_way_and_the_same() -> None:
    one, _ = lived()
    other = copy.deepcopy(one)
    before = one.snapshot()
    for vector in vectors(40, seed=4):
        decision = other.route(vector=vector)
        other.feedback(decision.decision_id, 1.0)
    assert one.snapshot() == before
    for vector in vectors(40, seed=4):
        decision = one.route(vector=vector)
        one.feedback(decision.decision_id, 1.0)
    assert one.snapshot() == other.snapshot()


def test_deciding_changes_nothing() -> None:
    one, _ = lived()
    before = one.snapshot()
    first = one.decide(vector=vectors(1)[0])
    assert one.decide(vector=vectors(1)[0]) == first
    assert one.snapshot() == before


def test_propensities_of_all_candidates_are_logged_and_sum_to_one() -> None:
    _, log = lived()
    for event in log:
        if isinstance(event, Decision):
            assert {c.model for c in event.candidates} == {m.name for m in FLEET}
            assert sum(c.propensity for c in event.candidates) == pytest.approx(1.0)
            assert event.propensity == event.chosen.propensity > 0
            drawn = max(event.candidates, key=lambda c: c.draw or -9)
            assert drawn.model == event.model


def test_feedback_is_recorded_repeated_and_revised() -> None:
    one = router()
    id_ = one.route(vector=[1.0, 0, 0]).decision_id
    assert one.feedback(id_, 1.0) == "recorded"
    state = one.snapshot()
    assert one.feedback(id_, 1.0) == "duplicate"
    assert one.snapshot() == state
    assert one.feedback(id_, 0.25) == "updated"
    assert one.feedback(id_, 0.75, source="reviewer", weight=2.0) == "recorded"
    total = one.arms()
    assert sum(arm.evidence for arm in total) == pytest.approx(3.0)


def test_cost_alone_is_feedback_and_does_not_take_back_the_reward() -> None:
    one = router()
    decision = one.route(vector=[1.0, 0, 0])
    assert one.feedback(decision.decision_id, 1.0) == "recorded"
    assert one.feedback(decision.decision_id, cost_usd=0.5) == "updated"
    arm = next(a for a in one.arms() if a.model == decision.model)
    assert arm.evidence == 1.0
    assert arm.cost_usd == pytest.approx(0.5)


def test_token_counts_become_a_cost() -> None:
    one = router(strategy="fixed:small")
    decision = one.route(vector=[1.0, 0])
    _, event = one.judge(
        Feedback(decision_id=decision.decision_id, prompt_tokens=1000, completion_tokens=500)
    )
    assert event is not None
    assert event.cost_usd == pytest.approx(1000 * 0.1e-6 + 500 * 0.4e-6)


def test_tokens_complete_one_another_and_never_outrank_a_bill() -> None:
    """Live, and folded again from the log."""
    first = router(strategy="fixed:small")
    decisions = [first.route(vector=[1.0, 0]) for _ in range(3)]
    events: list[Event] = [first.initial, *decisions]
    one, two, three = (decision.decision_id for decision in decisions)

    def say(id_: str, **fields: Any) -> str:
        status, event = first.judge(Feedback(decision_id=id_, **fields))
        if event is not None:
            first.apply(event)
            events.append(event)
        return status

    def cost(of: Router, id_: str) -> float | None:
        return settle(of.history(id_), of.settings.feedback).cost(math.nan)

    assert say(one, prompt_tokens=1_000_000) == "recorded"
    assert cost(first, one) == pytest.approx(0.1)
    events.append(first.change("model_set", {"name": "small", "input_usd_per_m": 90.0}))
    first.apply(events[-1])
    assert say(one, prompt_tokens=1_000_000) == "duplicate"  # at the prices of its time
    assert say(one, completion_tokens=1_000_000) == "updated"
    assert cost(first, one) == pytest.approx(0.1 + 0.4)
    assert say(one, completion_tokens=500_000) == "updated"
    assert cost(first, one) == pytest.approx(0.1 + 0.2)
    assert say(one, prompt_tokens=1_000_000, completion_tokens=500_000) == "duplicate"
    priced = {"cost_usd": 0.3, "prices": (0.1, 0.4)}  # by a replica, whose word is judged again
    assert say(one, prompt_tokens=1_000_000, completion_tokens=500_000, **priced) == "duplicate"

    for source, count in (("a", "prompt_tokens"), ("b", "completion_tokens")):
        assert say(three, source=source, **{count: 1_000_000}) == "recorded"
    assert say(three, source="a", prompt_tokens=1_000_000) == "duplicate"
    assert cost(first, three) == 90.0  # of output nobody said a price

    assert say(two, cost_usd=0.7) == "recorded"
    tokens = {"prompt_tokens": 1000, "completion_tokens": 500}
    assert say(two, **tokens) == "updated"
    assert say(two, **tokens, **priced, source="other") == "recorded"
    assert cost(first, two) == 0.7
    assert say(two, cost_usd=0.3) == "updated"
    assert say(two, **tokens) == "duplicate"
    assert cost(first, two) == 0.3
    again = Router.restore(events)
    assert again.snapshot() == first.snapshot()
    assert (cost(again, one), cost(again, two)) == (cost(first, one), cost(first, two))


def test_after_a_failover_the_arm_that_answered_is_credited() -> None:
    one = router()
    decision = one.route(vector=[1.0, 0, 0])
    other = next(m.name for m in FLEET if m.name != decision.model)
    one.feedback(decision.decision_id, 1.0)
    one.apply(one.outcome(Outcome(seq=0, time=0, decision_id=decision.decision_id, model=other)))
    evidence = {arm.model: arm.evidence for arm in one.arms()}
    assert evidence[decision.model] == 0.0
    assert evidence[other] == 1.0


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"reward": 1.5}, "reward"),
        ({"reward": math.nan}, "reward"),
        ({"reward": -0.1}, "reward"),
        ({"reward": True}, "reward"),
        ({}, "reward"),
        ({"cost_usd": -1.0}, "cost_usd"),
        ({"latency_ms": math.inf}, "latency_ms"),
        ({"reward": 1.0, "weight": 0.0}, "weight"),
        ({"reward": 1.0, "weight": math.nan}, "weight"),
        ({"reward": 1.0, "source": " "}, "source"),
    ],
)
def test_bad_feedback_names_its_field_and_changes_nothing(fields: dict, field: str) -> None:
    one = router()
    id_ = one.route(vector=[1.0, 0, 0]).decision_id
    before = one.snapshot()
    with pytest.raises(InvalidInput) as caught:
        one.feedback(Feedback(decision_id=id_, **fields))
    assert caught.value.field == field
    assert one.snapshot() == before


def test_feedback_for_an_unknown_decision() -> None:
    with pytest.raises(UnknownDecision):
        router().feedback("nobody", 1.0)


@pytest.mark.parametrize(
    ("request_", "error", "field"),
    [
        (Request(models=("smal",)), UnknownModel, "models"),
        (Request(models=()), NoEligibleArm, "models"),
        (Request(models=("old",), needs=("vision",)), NoEligibleArm, "needs"),
        (Request(cost_weight=-1), InvalidInput, "cost_weight"),
        (Request(max_cost_usd=math.nan), InvalidInput, "max_cost_usd"),
        (Request(models=("small",), max_cost_usd=1e-12), NoEligibleArm, "max_cost_usd"),
        (Request(profile="cheap"), InvalidInput, "profile"),
        (Request(metadata={"n": 2**70}), InvalidInput, "metadata"),
        (Request(metadata={"s": "\ud800"}), InvalidInput, "metadata"),
        (Request(user="\udfff"), InvalidInput, "user"),
    ],
)
def test_bad_requests_name_their_field(request_: Request, error: type, field: str) -> None:
    with pytest.raises(error) as caught:
        router().decide(vector=[1.0, 0, 0], request=request_)
    assert caught.value.field == field


@pytest.mark.parametrize("vector", [[], [0.0, 0.0], [math.nan, 1.0], [[1.0]], ["x"], [1e300, 1]])
def test_bad_vectors_are_refused(vector: list) -> None:
    with pytest.raises(InvalidInput) as caught:
        router().decide(vector=vector)
    assert caught.value.field == "embedding"


def test_every_vector_has_the_length_of_the_first() -> None:
    one = router()
    one.route(vector=[1.0, 0, 0])
    with pytest.raises(InvalidInput, match="3 numbers"):
        one.route(vector=[1.0, 0])


def test_arms_come_and_go() -> None:
    one, log = lived()
    new = one.change("model_set", {"name": "new", "quality_prior": 0.9})
    one.apply(new)
    assert any(c.model == "new" for c in one.decide(vector=vectors(1)[0]).candidates)
    late = next(e for e in log if isinstance(e, Decision) and e.model == "small")
    one.apply(one.change("model_removed", {"name": "small"}))
    assert all(c.model != "small" for c in one.decide(vector=vectors(1)[0]).candidates)
    assert one.feedback(late.decision_id, 0.5) in ("recorded", "updated")
    with pytest.raises(UnknownModel):
        one.change("model_removed", {"name": "small"})


def test_late_feedback_lands_where_a_cluster_went() -> None:
    settings_ = parse_config({"clusterer": {"max_clusters": 4, "half_life": 40}}).settings
    one = Router(FLEET, settings=settings_, embedder="none")
    first = [one.route(vector=v).decision_id for v in vectors(300, dimension=12)]
    for id_ in first:
        one.feedback(id_, 1.0)
    assert sum(arm.evidence for arm in one.arms()) == 300


def test_events_must_follow_one_another() -> None:
    one, log = lived()
    with pytest.raises(StoreError, match="does not follow"):
        one.apply(log[3])
    with pytest.raises(StoreError, match="empty"):
        Router.restore([])


def test_time_never_runs_back() -> None:
    one = router()
    one.route(vector=[1.0, 0], time=50.0)
    assert one.route(vector=[1.0, 0], time=20.0).time == 50.0


def test_a_decision_id_is_used_once() -> None:
    one = router()
    one.route(vector=[1.0, 0], decision_id="x")
    with pytest.raises(InvalidInput):
        one.route(vector=[1.0, 0], decision_id="x")


def test_changed_settings_keep_what_is_known_of_the_whole_map() -> None:
    one, _ = lived()
    before = {arm.model: arm.evidence for arm in one.arms()}
    other = parse_config({"clusterer": {"resolutions": [0.8]}}).settings
    named = Settings(clusterer=other.clusterer, embedder=one.settings.embedder)
    one.apply(one.configuration(named, FLEET))
    assert {arm.model: arm.evidence for arm in one.arms()} == before
    old_ids = {c.id for c in one.clusters()}
    assert not old_ids
    assert one.route(vector=vectors(1)[0]).cluster > 0


def test_a_conversation_stays_on_its_model_until_leaving_pays() -> None:
    one = router()
    talk = Request(session_id="talk")
    first = one.route(vector=[1.0, 0, 0], request=talk)
    for _ in range(20):
        again = one.route(vector=[1.0, 0, 0], request=talk)
        assert again.model == first.model
        assert again.propensity == 1.0
        assert sum(c.propensity for c in again.candidates) == 1.0
    others = {one.route(vector=[1.0, 0, 0]).model for _ in range(40)}
    assert len(others) > 1  # without a session the choice is sampled
    for _ in range(30):
        one.feedback(one.route(vector=[1.0, 0, 0], request=talk).decision_id, 0.0)
    assert one.route(vector=[1.0, 0, 0], request=talk).model != first.model


def test_one_user_among_several_cannot_swing_a_posterior() -> None:
    capped = parse_config({"feedback": {"user_cap": 20}, "bandit": {"strategy": "fixed:small"}})
    one = Router(FLEET, settings=capped.settings, embedder="none")

    def votes(user: str | None, times: int) -> float:
        total = 0.0
        for _ in range(times):
            decision = one.route(vector=[1.0, 0], request=Request(user=user))
            total += decision.trust
            one.feedback(decision.decision_id, 0.0)
            one.feedback(decision.decision_id, 1.0)  # flipping it does not help
        return total

    assert votes("only", 100) == 100  # a service that knows one user caps nobody
    assert votes(None, 10) == 10
    assert votes("flood", 1000) < 20 * (1 + math.log(2) * 1000 / 10_000) + 1
    assert votes("other", 10) == 10


def test_any_text_can_be_kept() -> None:
    kept = parse_config({"store": {"keep_prompts": True}}).settings
    one = Router(FLEET, settings=kept, embedder="none")
    decision = one.route("a\ud800b", vector=[1.0, 0])
    assert decision.prompt == "a\\ud800b"
    assert codec.decode_event(codec.encode_event(decision)) == decision


def test_tuning_the_bandit_keeps_map_and_evidence() -> None:
    one, _ = lived()
    clusters = one.clusters()
    tuned = parse_config({"bandit": {"cost_weight": 0.3, "floor": 0.05}}).settings
    named = Settings(bandit=tuned.bandit, embedder=one.settings.embedder)
    one.apply(one.configuration(named, FLEET))
    assert one.clusters() == clusters
    decision = one.decide(vector=vectors(1)[0])
    assert decision.utility.cost_weight == 0.3
    assert min(c.propensity for c in decision.candidates) >= 0.05


def test_an_unknown_strategy_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="thompson"):
        router(strategy="thomson")


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 1), st.sampled_from("abc")), max_size=40))
def test_what_was_said_last_is_what_counts(said: list) -> None:
    one, plain = router(), router()
    ids = [one.route(vector=v).decision_id for v in vectors(10)]
    assert [plain.route(vector=v).decision_id for v in vectors(10)] == ids
    last: dict[tuple[str, str], float] = {}
    for which, reward, source in said:
        one.feedback(ids[which], reward, source=source)
        last[ids[which], source] = reward
    for (id_, source), reward in last.items():
        plain.feedback(id_, reward, source=source)
    for mine, theirs in zip(one.arms(), plain.arms(), strict=True):
        assert mine.evidence == pytest.approx(theirs.evidence, abs=1e-9)
        assert mine.quality == pytest.approx(theirs.quality, abs=0.05)
