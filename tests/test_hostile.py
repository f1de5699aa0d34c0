"""What users and operators do to a router that no clean experiment does."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_router import Feedback, Model, Router
from bandit_router.config import ClustererSettings, FeedbackSettings, Settings, parse_config
from bandit_router.exceptions import ConfigError, InvalidInput
from bandit_router.memory import settle, standing, with_event
from bandit_router.types import History, Outcome, Request


def with_bandit(router: Router, **changes: object) -> Settings:
    bandit = msgspec.structs.replace(router.settings.bandit, **changes)
    return msgspec.structs.replace(router.settings, bandit=bandit)


def finite(router: Router) -> None:
    for arm in router.arms():
        assert 0.0 <= arm.quality_interval[0] <= arm.quality_interval[1] <= 1.0
        assert -0.5 < arm.quality < 1.5
        assert arm.evidence >= 0.0
    chance = [c.propensity for c in router.decide(vector=[0.6, 0.8]).candidates]
    assert sum(chance) == pytest.approx(1.0)


def test_a_revised_vote_is_no_catastrophe() -> None:
    rng = np.random.default_rng(0)
    router = Router(["good", "bad"], embedder="none")
    said: dict[str, float] = {}
    for _ in range(300):
        decision = router.route(vector=rng.normal(size=2))
        right = float(rng.random() < {"good": 0.8, "bad": 0.4}[decision.model])
        said[decision.decision_id] = right
        for source in ("test", "user"):
            router.feedback(Feedback(decision_id=decision.decision_id, reward=right, source=source))
    before = {arm.model: arm for arm in router.arms()}
    for id_, right in list(said.items())[:50]:
        for reward, weight in ((1.0 - right, 1.01), (0.5, 3.0), (right, 1.0)):
            router.feedback(Feedback(decision_id=id_, reward=reward, source="user", weight=weight))
    for arm in router.arms():  # in the end everybody says what they said at first
        assert arm.quality == pytest.approx(before[arm.model].quality, abs=0.02)
        assert arm.evidence == pytest.approx(before[arm.model].evidence)


def test_late_feedback_from_another_space_still_counts() -> None:
    router = Router(["a", "b"], embedder="none")
    old = [router.route(vector=[1.0, step, 0.0, 0.0]).decision_id for step in range(20)]
    finer = msgspec.structs.replace(
        router.settings, clusterer=ClustererSettings(resolutions=(1.0, 0.5))
    )
    router.apply(router.configuration(finer, ["a", "b"]))
    for step in range(20):
        router.route(vector=np.eye(8)[step % 8])
    for id_ in old:
        assert router.feedback(id_, 1.0) == "recorded"
    assert sum(arm.evidence for arm in router.arms()) == pytest.approx(20.0)
    again = Router.restore([], state=router.snapshot())
    assert again.snapshot() == router.snapshot()


@pytest.mark.parametrize("strategy", ["thompson", "global-thompson", "lints"])
def test_taking_back_what_a_policy_never_held_leaves_it_sane(strategy: str) -> None:
    router = Router(["a", "b"], embedder="none", settings=parse_config(
        {"bandit": {"strategy": "random"}, "embedder": {"name": "none"}}).settings)  # fmt: skip
    rng = np.random.default_rng(0)
    ids = []
    for _ in range(60):
        decision = router.route(vector=rng.normal(size=2))
        router.feedback(decision.decision_id, float(rng.random() < 0.5), cost_usd=0.01)
        ids.append(decision.decision_id)
    router.apply(router.configuration(with_bandit(router, strategy=strategy), ["a", "b"]))
    for id_ in ids:  # it was another arm that answered: the credit moves
        model = "a" if router.history(id_).decision.model == "b" else "b"
        said = Outcome(seq=0, time=0.0, decision_id=id_, model=model)
        router.apply(router.outcome(said))
    if strategy != "lints":
        finite(router)
    chance = [c.propensity for c in router.decide(vector=[0.6, 0.8]).candidates]
    assert np.isfinite(chance).all()


def test_a_redrawn_map_gives_back_what_it_inherited() -> None:
    router = Router(["a", "b"], embedder="none")
    rng = np.random.default_rng(0)
    ids = []
    for _ in range(80):
        decision = router.route(vector=rng.normal(size=2))
        router.feedback(decision.decision_id, float(rng.random() < 0.6))
        ids.append(decision.decision_id)
    finer = msgspec.structs.replace(
        router.settings, clusterer=ClustererSettings(resolutions=(0.7, 0.3))
    )
    router.apply(router.configuration(finer, ["a", "b"]))
    for id_ in ids:
        router.feedback(id_, 0.5)
    finite(router)
    assert sum(arm.evidence for arm in router.arms()) == pytest.approx(80.0)


def test_a_changed_arm_whose_credit_moves_away_is_not_owed_anything() -> None:
    router = Router(["a", "b"], embedder="none")
    ids = []
    for step in range(500):
        decision = router.route(vector=[1.0, step % 5])
        router.feedback(decision.decision_id, 1.0 if step < 300 else 0.0)
        ids.append(decision.decision_id)
    for id_ in ids:
        model = "a" if router.history(id_).decision.model == "b" else "b"
        said = Outcome(seq=0, time=0.0, decision_id=id_, model=model)
        router.apply(router.outcome(said))
    finite(router)


def test_kin_by_any_order_and_over_a_restart() -> None:
    old, new = Model(name="old"), Model(name="new", similar_to="old")
    levels = []
    for models in ([old, new], [new, old]):
        router = Router(models, embedder="none")
        rng = np.random.default_rng(0)
        for step in range(120):
            request = msgspec.structs.replace(router.decide(vector=[1.0, 0.0]).request)
            decision = router.route(
                vector=rng.normal(size=2),
                request=msgspec.structs.replace(request, models=("old",)),
            )
            router.feedback(decision.decision_id, float(step % 10 > 0))
            if step == 60:
                again = Router.restore([], state=router.snapshot())
        levels.append({arm.model: arm.quality for arm in router.arms()})
        assert again.seq < router.seq
        restored = Router.restore([], state=router.snapshot())
        live, back = (r.decide(vector=[1.0, 0.0]) for r in (router, restored))
        assert live == back
    for found in levels:
        assert found["new"] == pytest.approx(found["old"], abs=0.1)
        assert found["new"] > 0.7
    assert levels[0]["new"] == pytest.approx(levels[1]["new"], abs=0.02)


def test_kin_that_there_is_not_is_refused_where_it_is_named() -> None:
    with pytest.raises(ConfigError, match="did you mean 'old'"):
        parse_config({"models": [{"name": "old"}, {"name": "new", "similar_to": "odl"}]})
    with pytest.raises(ConfigError, match="similar_to"):
        parse_config({"models": [{"name": "new", "similar_to": "odl"}]})
    router = Router(["old"], embedder="none")
    with pytest.raises(InvalidInput, match="odl"):
        router.change("model_set", {"name": "new", "similar_to": "odl"})
    router.apply(router.change("model_set", {"name": "new", "similar_to": "old"}))
    router.apply(router.change("model_removed", {"name": "old"}))
    models = list(router.models.values())  # the predecessor is gone; its evidence is not
    router.apply(router.configuration(with_bandit(router, cost_weight=0.2), models))
    router.route(vector=[1.0, 0.0])
    fields = msgspec.to_builtins(router.models["new"])  # nor is it in the way of other changes
    log = [router.change("model_set", {**fields, "output_usd_per_m": 2.0})]
    again = Router.restore(log, state=router.snapshot())
    assert again.models["new"].similar_to == "old"
    with pytest.raises(InvalidInput, match="old"):
        router.change("model_set", {"name": "newer", "similar_to": "old"})


def test_names_that_mean_another_thing_are_refused() -> None:
    for models, profiles, field in (
        (["auto"], [], "models.name"),
        (["cheap"], ["cheap"], "models.name"),
        (["small"], ["auto"], "profiles.name"),
    ):
        raw = {"models": [{"name": n} for n in models], "profiles": [{"name": n} for n in profiles]}
        with pytest.raises(ConfigError) as caught:
            parse_config(raw)
        assert caught.value.field == field
    config = parse_config({"models": [{"name": "small"}], "profiles": [{"name": "cheap"}]})
    router = Router(config.models, settings=config.settings, embedder="none")
    for name in ("auto", "cheap"):
        with pytest.raises(InvalidInput) as caught:
            router.change("model_set", {"name": name})
        assert caught.value.field == "models.name"


def test_flat_views_show_what_is_known() -> None:
    router = Router(["a", "b"], embedder="none")
    router.apply(router.configuration(with_bandit(router, pooling="flat"), ["a", "b"]))
    rng = np.random.default_rng(0)
    for _ in range(200):
        decision = router.route(vector=rng.normal(size=2))
        router.feedback(decision.decision_id, 0.9 if decision.model == "a" else 0.1)
    quality = {arm.model: arm.quality for arm in router.arms()}
    assert quality["a"] > 0.8
    region = next(c for c in router.clusters() if c.level == 0 and c.evidence > 50)
    assert next(a.quality for a in region.arms if a.model == "a") > 0.7


@pytest.mark.parametrize("dimension", [1, 2, 33, 400, 2000])
def test_vectors_of_any_length(dimension: int) -> None:
    rng = np.random.default_rng(dimension)
    router = Router(["a", "b"], embedder="none")
    for _ in range(30):
        decision = router.route(vector=rng.normal(size=dimension))
        router.feedback(decision.decision_id, float(rng.random() < 0.5))
    finite_dimension = router.decide(vector=rng.normal(size=dimension))
    assert sum(c.propensity for c in finite_dimension.candidates) == pytest.approx(1.0)
    assert router.clusters()
    assert Router.restore([], state=router.snapshot()).snapshot() == router.snapshot()


def test_hundreds_of_arms() -> None:
    router = Router([f"m{i}" for i in range(400)], embedder="none")
    for step in range(5):
        decision = router.route(vector=[1.0, step])
        chance = [c.propensity for c in decision.candidates]
        assert np.isfinite(chance).all()
        assert sum(chance) == pytest.approx(1.0)
        assert max(chance) < 0.1
        router.feedback(decision.decision_id, 0.5)


def test_late_feedback_of_an_arm_that_nobody_remembers() -> None:
    router = Router(["a", "b"], embedder="none")
    id_ = next(
        d.decision_id for d in iter(lambda: router.route(vector=[1.0, 0.0]), None) if d.model == "b"
    )
    router.apply(router.change("model_removed", {"name": "b"}))
    for strategy in ("random", "thompson"):
        router.apply(router.configuration(with_bandit(router, strategy=strategy), ["a"]))
    assert router.feedback(id_, 1.0) == "recorded"


@pytest.mark.parametrize("strategy", ["thompson", "global-thompson", "lints", "linucb"])
@pytest.mark.parametrize("usd", [1e-300, 1e-12, 1e-3, 1e12])
def test_weights_and_costs_at_their_limits_leave_numbers(strategy: str, usd: float) -> None:
    rng = np.random.default_rng(0)
    named = parse_config({"bandit": {"strategy": strategy}}).settings
    router = Router(["a", "b", "c"], settings=named, embedder="none")
    for weight in (0.0, 1e-300, 1.0, 1e9):
        asked = Request(cost_weight=weight, latency_weight=weight)
        for _ in range(4):
            decision = router.route(vector=rng.normal(size=3), request=asked)
            assert sum(c.propensity for c in decision.candidates) == pytest.approx(1.0)
            for c in decision.candidates:
                assert np.isfinite([c.quality, c.utility]).all()
                assert c.draw is None or np.isfinite(c.draw)
            id_ = decision.decision_id
            router.feedback(id_, float(rng.random() < 0.5), cost_usd=usd, latency_ms=usd)


@pytest.mark.parametrize("weight", [1e10, 1e300, np.inf, np.nan, -1.0])
@pytest.mark.parametrize("field", ["cost_weight", "latency_weight"])
def test_a_weight_that_hides_all_else_is_refused(field: str, weight: float) -> None:
    router = Router(["a", "b"], embedder="none")
    with pytest.raises(InvalidInput, match="between 0 and 1e\\+09") as refused:
        router.route(vector=[1.0, 0.0], request=Request(**{field: weight}))
    assert refused.value.field == field
    with pytest.raises(ConfigError):
        parse_config({"bandit": {field: weight}})


def test_prices_beyond_all_measure_are_refused() -> None:
    with pytest.raises(ConfigError, match="between 0 and 1e\\+09"):
        Router([Model(name="a", input_usd_per_m=1e300)])


def test_a_seed_that_no_log_can_hold_is_refused() -> None:
    with pytest.raises(ConfigError):
        parse_config({"bandit": {"seed": 2**64}})


def test_a_thousand_changes_of_mind_are_one_voice() -> None:
    router = Router(["a", "b"], embedder="none")
    id_ = router.route(vector=[1.0, 0.0]).decision_id
    log = [router.initial, router.history(id_).decision]
    for step in range(200):
        said = Feedback(decision_id=id_, reward=step % 2, cost_usd=0.01 * step, source="user")
        event = router.judge(said)[1]
        assert event is not None
        router.apply(event)
        log.append(event)
    assert len(router.history(id_).feedback) == 1
    assert sum(arm.evidence for arm in router.arms()) == 1.0
    assert Router.restore(log).snapshot() == router.snapshot()


def test_only_so_many_sources_speak_of_one_decision() -> None:
    few = parse_config({"feedback": {"max_sources": 3}}).settings
    router = Router(["a", "b"], embedder="none", settings=few)
    id_ = router.route(vector=[1.0, 0.0]).decision_id
    for number in range(3):
        said = Feedback(decision_id=id_, reward=1.0, source=f"s{number}")
        assert router.feedback(said) == "recorded"
    before = router.snapshot()
    with pytest.raises(InvalidInput, match=r"feedback\.max_sources") as refused:
        router.feedback(Feedback(decision_id=id_, reward=1.0, source="s3"))
    assert refused.value.field == "source"
    assert router.snapshot() == before
    assert router.feedback(Feedback(decision_id=id_, reward=0.0, source="s1")) == "updated"


said = st.builds(
    Feedback,
    decision_id=st.just("d1"),
    reward=st.none() | st.floats(0, 1),
    cost_usd=st.none() | st.floats(0, 1),
    latency_ms=st.none() | st.floats(0, 1),
    prompt_tokens=st.none() | st.integers(0, 9),
    source=st.sampled_from("abc"),
    weight=st.floats(0.1, 3),
    reliability=st.floats(0.1, 1),
)


@settings(max_examples=200, deadline=None)
@given(events=st.lists(said, max_size=12), capped=st.booleans())
def test_what_is_left_out_of_a_history_is_not_missed(events: list[Feedback], capped: bool) -> None:
    decision = Router(["a"], embedder="none").decide(vector=[1.0])
    decision = msgspec.structs.replace(decision, capped=capped, trust=0.7)
    events = [msgspec.structs.replace(e, seq=seq) for seq, e in enumerate(events, 2)]
    short = whole = History(decision=decision)
    for event in events:
        short = with_event(short, event)
        whole = msgspec.structs.replace(whole, feedback=(*whole.feedback, event))
    assert list(standing(short).items()) == list(standing(whole).items())
    ours, theirs = (settle(h, FeedbackSettings()) for h in (short, whole))
    assert ours.sums == theirs.sums
    fields = ("reward", "cost_usd", "latency_ms", "prompt_tokens")
    kept = [(f.source, n) for f in short.feedback for n in fields if getattr(f, n) is not None]
    assert len(kept) == len(set(kept))  # however often, and in whatever turns, a source speaks


@pytest.mark.parametrize("time", [np.inf, -np.inf, np.nan])
def test_a_time_that_would_stop_the_clock_is_refused(time: float) -> None:
    router = Router(["a"], embedder="none")
    with pytest.raises(InvalidInput, match="time"):
        router.route(vector=[1.0], time=time)
