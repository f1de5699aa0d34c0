"""Shadows, canaries, dry runs and the kill switch: what is logged is what really was done."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandit_router import Decision, Feedback, Model, Router
from bandit_router.config import Settings, parse_config
from bandit_router.exceptions import ConfigError, InvalidInput, NoEligibleArm, UnknownModel
from bandit_router.policies import LinUCBPolicy, ThompsonPolicy
from bandit_router.types import Event, Request, Shadow

FLEET = [
    {"name": "small", "input_usd_per_m": 0.1, "output_usd_per_m": 0.4},
    {"name": "large", "input_usd_per_m": 2.5, "output_usd_per_m": 10.0},
    {"name": "other"},
]
SHADOWS = ("linucb", "lints", "global-thompson", "thompson", "fixed:large", "random", "kmeans")


def configured(profiles: Any = (), **bandit: Any) -> Settings:
    tables = {"bandit": bandit, "profiles": list(profiles), "models": FLEET}
    return parse_config(tables).settings


def router(profiles: Any = (), **bandit: Any) -> Router:
    models = [msgspec.convert(model, Model) for model in FLEET]
    return Router(models, settings=configured(profiles, **bandit), embedder="none")


def live(one: Router, steps: int = 40, seed: int = 0, **options: Any) -> list[Event]:
    """Let a router live, and return its log."""
    log: list[Event] = [one.initial]
    for step, vector in enumerate(np.random.default_rng(seed).standard_normal((steps, 4))):
        decision = one.decide(f"word {step}", vector=vector, **options)
        one.apply(decision)
        reward = float(decision.model == ("large" if vector[0] > 0 else "small"))
        said = Feedback(decision_id=decision.decision_id, reward=reward, cost_usd=0.001)
        _, event = one.judge(said)
        assert event is not None
        one.apply(event)
        log += [decision, event]
    return log


def decisions(log: list[Event]) -> list[Decision]:
    return [event for event in log if isinstance(event, Decision)]


def shadow(decision: Decision, strategy: str) -> Shadow:
    (found,) = (s for s in decision.shadows if s.strategy == strategy)
    return found


def test_shadows_alter_nothing_of_what_the_live_strategy_does() -> None:
    alone, watched = live(router()), live(router(shadows=SHADOWS))
    for one, other in zip(decisions(alone), decisions(watched), strict=True):
        assert msgspec.structs.replace(other, shadows=()) == one


def test_shadows_say_what_they_would_have_done_and_learn_with_the_live_one() -> None:
    one = router(strategy="random", shadows=SHADOWS)
    log = live(one, 150)
    last = decisions(log)[-1]
    assert [s.strategy for s in last.shadows] == [s for s in SHADOWS if s != "random"]
    for said in last.shadows:
        assert sum(said.propensities) == pytest.approx(1.0)
        assert said.role == "shadow"
    assert shadow(last, "fixed:large").propensities == (0.0, 1.0, 0.0)
    for vector, best in ([1.0, 0, 0, 0], "large"), ([-1.0, 0, 0, 0], "small"):
        decision = one.decide(vector=np.array(vector))
        assert decision.policy == "random"
        assert shadow(decision, "linucb").model == best


def test_a_shadow_made_live_goes_on_with_what_it_has_learnt() -> None:
    one = router(strategy="random", shadows=["linucb", "thompson"])
    live(one, 150)
    foretold = shadow(one.decide(vector=np.ones(4)), "linucb").model
    clusters = {c.id for c in one.clusters()}
    assert clusters  # the map of the shadow is shown where the live strategy has none
    for strategy in ("linucb", "thompson"):
        settings = configured(strategy=strategy, shadows=["linucb", "thompson"])
        settings = msgspec.structs.replace(settings, embedder=one.settings.embedder)
        one.apply(one.configuration(settings, list(one.models.values())))
        if strategy == "linucb":
            assert one.decide(vector=np.ones(4)).model == foretold
        else:
            assert {c.id for c in one.clusters()} == clusters
            assert sum(arm.evidence for arm in one.arms()) == pytest.approx(150.0)


def test_a_shadow_that_comes_later_shares_nothing_with_whom_it_inherits_from() -> None:
    one = router()
    live(one)
    settings = configured(shadows=["global-thompson"])
    settings = msgspec.structs.replace(settings, embedder=one.settings.embedder)
    one.apply(one.configuration(settings, list(one.models.values())))
    half = Router.restore([], state=one.snapshot())
    dearer = {"name": "large", "input_usd_per_m": 25.0, "output_usd_per_m": 99.0}
    for body in (dearer, {"name": "other", "similar_to": "large"}):
        event = one.change("model_set", body)
        one.apply(event)
        half.apply(event)
    for event in live(one, 20, seed=3)[1:]:
        half.apply(event)
    assert half.snapshot() == one.snapshot()
    evidence = [p.posterior.total.sum() for p in one.strategies if isinstance(p, ThompsonPolicy)]
    assert evidence == [60.0, 60.0]


def test_cluster_ids_are_not_used_again_after_a_strategy_without_a_map() -> None:
    one = router()
    live(one, 20)
    used = max(c.id for c in one.clusters())
    for strategy in ("linucb", "thompson"):
        bandit = msgspec.structs.replace(one.settings.bandit, strategy=strategy)
        settings = msgspec.structs.replace(one.settings, bandit=bandit)
        one.apply(one.configuration(settings, list(one.models.values())))
        one = Router.restore([], state=one.snapshot())
    one.route(vector=np.ones(4))
    assert min(c.id for c in one.clusters()) > used


EVERYTHING = {
    "strategy": "thompson",
    "shadows": list(SHADOWS),
    "canary": "lints",
    "canary_share": 0.3,
}


def test_the_fold_gives_the_same_state_whatever_takes_part() -> None:
    one = router(**EVERYTHING)
    log = live(one)
    assert Router.restore(log).snapshot() == one.snapshot()
    again = Router.restore([], state=one.snapshot())
    assert again.snapshot() == one.snapshot()
    assert again.decide(vector=np.ones(4)) == one.decide(vector=np.ones(4))


@settings(max_examples=20, deadline=None)
@given(
    strategy=st.sampled_from(SHADOWS),
    canary=st.sampled_from(SHADOWS),
    share=st.floats(0.0, 1.0),
    dry=st.sampled_from([None, "small", "other"]),
)
def test_propensities_always_sum_to_one_and_the_chosen_was_possible(
    strategy: str, canary: str, share: float, dry: str | None
) -> None:
    one = router(strategy=strategy, canary=canary, canary_share=share, dry_run=dry)
    for decision in decisions(live(one, 5)):
        assert sum(c.propensity for c in decision.candidates) == pytest.approx(1.0)
        assert decision.propensity == decision.chosen.propensity > 0.0
        assert decision.model == dry or dry is None


def test_the_logged_propensity_of_a_canary_is_that_of_the_mixture() -> None:
    one = router(strategy="fixed:small", canary="random", canary_share=0.3)
    first = one.decide(vector=np.ones(4))
    chances = {c.model: c.propensity for c in first.candidates}
    assert chances == pytest.approx({"small": 0.7 + 0.1, "large": 0.1, "other": 0.1})
    assert {s.strategy: s.role for s in first.shadows} == {
        "fixed:small": "live",
        "random": "canary",
    }
    log = decisions(live(one, 2_000))
    drawn = {name: np.mean([d.model == name for d in log]) for name in chances}
    assert drawn == pytest.approx(chances, abs=0.03)
    assert np.mean([d.role == "canary" for d in log]) == pytest.approx(0.3, abs=0.03)
    assert {d.policy for d in log if d.role == "canary"} == {"random"}


def test_a_conversation_has_the_propensities_of_the_mixture_too() -> None:
    one = router(strategy="thompson", canary="random", canary_share=0.3, session_margin=1.0)
    talk = Request(session_id="talk")
    current = one.route(vector=np.ones(4), request=talk).model
    log = [one.decide(vector=np.ones(4), request=talk)]
    for _ in range(600):  # with nothing learnt, it always is the same question
        one.apply(one.decide(vector=np.ones(4)))
        log.append(one.decide(vector=np.ones(4), request=talk))
    for decision in log:
        chances = {c.model: c.propensity for c in decision.candidates}
        mixture = dict.fromkeys(chances, 0.1) | {current: 0.7 + 0.1}
        assert chances == pytest.approx(mixture), decision.role
    assert np.mean([d.model == current for d in log]) == pytest.approx(0.8, abs=0.06)
    assert {d.role for d in log} == {"live", "canary"}


def test_a_dry_run_gives_everything_to_the_incumbent_and_says_so() -> None:
    one = router(strategy="thompson", dry_run="other", shadows=["linucb"], canary="random")
    log = decisions(live(one, 30))
    assert {d.model for d in log} == {"other"}
    assert {(d.propensity, d.policy, d.role) for d in log} == {(1.0, "fixed:other", "dry-run")}
    assert {s.strategy: s.role for s in log[-1].shadows} == {
        "thompson": "live",
        "random": "canary",
        "linucb": "shadow",
    }
    assert len({shadow(d, "thompson").model for d in log}) > 1
    assert all(d.path for d in log)
    assert {a.model: a.evidence for a in one.arms()}["other"] == pytest.approx(30.0)


def test_the_kill_switch_is_an_event_and_asks_nobody() -> None:
    one = router(**EVERYTHING)
    log = live(one, 10)
    switch = one.change("kill_switch", {"model": "large", "reason": "bad answers"}, time=7.0)
    one.apply(switch)
    assert not one.needs_vector
    decision = one.decide("no embedder, no vector")
    assert (decision.model, decision.propensity, decision.shadows) == ("large", 1.0, ())
    assert (decision.role, decision.policy) == ("kill-switch", "fixed:large")
    assert one.killed is not None
    assert (one.killed.model, one.killed.since, one.killed.reason) == ("large", 7.0, "bad answers")
    one.apply(decision)
    one.feedback(decision.decision_id, 1.0)
    again = Router.restore([], state=one.snapshot())
    assert again.killed == one.killed
    one.apply(one.change("kill_switch", {"model": None}))
    assert one.decide(vector=np.ones(4)).role != "kill-switch"
    with pytest.raises(UnknownModel, match="'large'"):
        one.change("kill_switch", {"model": "larg"})
    assert Router.restore([*log, switch]).killed == again.killed


def test_the_kill_switch_of_the_configuration_holds_until_it_says_otherwise() -> None:
    one = router(kill_switch="small")
    assert one.decide("x").model == "small"
    one.apply(one.change("kill_switch", {"model": None}))
    same = one.configuration(one.settings, list(one.models.values()))
    one.apply(same)  # the configuration says what it said: what was done at run time stays
    assert one.killed is None


def test_who_is_pinned_or_excluded() -> None:
    one = router(kill_switch="small")
    only = Request(models=("other",))
    assert one.decide("x", request=only).model == "other"  # asked for by name
    one = router(strategy="fixed:small")
    decision = one.decide(vector=np.ones(4), request=Request(exclude=("small",)))
    assert [c.model for c in decision.candidates] == ["large", "other"]
    with pytest.raises(NoEligibleArm, match="excluded") as refused:
        one.decide(vector=np.ones(4), request=Request(exclude=("small", "large", "other")))
    assert refused.value.field == "exclude"
    with pytest.raises(UnknownModel):
        one.decide(vector=np.ones(4), request=Request(exclude=("smal",)))


def test_a_profile_has_its_own_strategy_and_no_canary() -> None:
    profiles = [{"name": "safe", "strategy": "fixed:large"}, {"name": "plain"}]
    one = router(profiles, strategy="fixed:small", canary="random", canary_share=1.0)
    log = [one.decide(vector=np.ones(4), request=Request(profile=p)) for p in ("safe", "plain")]
    assert [(d.policy, d.role) for d in log] == [("fixed:large", "live"), ("random", "canary")]
    assert log[0].model == "large"
    assert log[0].shadows == ()


@pytest.mark.parametrize(
    ("bandit", "field"),
    [
        ({"shadows": ["linucbb"]}, "bandit.shadows"),
        ({"canary": "thomson"}, "bandit.canary"),
        ({"strategy": "fixed:larg"}, "bandit.strategy"),
        ({"shadows": ["fixed:larg"]}, "bandit.shadows"),
        ({"dry_run": "larg"}, "bandit.dry_run"),
        ({"kill_switch": "larg"}, "bandit.kill_switch"),
    ],
)
def test_a_wrong_name_is_refused_with_the_nearest(bandit: Any, field: str) -> None:
    with pytest.raises(ConfigError, match="did you mean") as refused:
        router(**bandit)
    assert refused.value.field == field
    with pytest.raises(ConfigError, match="did you mean") as refused:
        router([{"name": "p", "strategy": "fixd:small"}])
    assert refused.value.field == "profiles.strategy"


def test_a_shadow_that_fails_is_noted_and_nothing_else_changes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*args: object) -> None:
        raise ArithmeticError("no number is left")

    for method in ("choose", "learn", "observe", "retire_arm"):
        monkeypatch.setattr(LinUCBPolicy, method, broken)
    one = router(shadows=["linucb", "random"])
    log = live(one)
    for mine, other in zip(decisions(log), decisions(live(router())), strict=True):
        assert msgspec.structs.replace(mine, shadows=()) == other
        said = shadow(mine, "linucb")
        assert (said.model, said.propensities) == (None, ())
        assert said.error == "ArithmeticError: no number is left"
    assert {name for name, _ in one.strategies.failures} == {"linucb"}
    assert Router.restore(log).snapshot() == one.snapshot()
    # A canary that fails has no share, and a dry run needs nobody.
    canary = router(strategy="fixed:small", canary="linucb", canary_share=0.9)
    assert canary.decide(vector=np.ones(4)).propensity == 1.0
    dry = router(strategy="linucb", dry_run="large").decide(vector=np.ones(4))
    assert (dry.model, shadow(dry, "linucb").role) == ("large", "live")
    with pytest.raises(ArithmeticError):
        router(strategy="linucb").decide(vector=np.ones(4))


def test_nobody_stands_in_for_the_model_of_the_kill_switch() -> None:
    one = router([{"name": "thrifty", "models": ["other"]}])
    unavailable = Model(name="small", available=False, supports=("json",))
    one.apply(one.change("model_set", msgspec.to_builtins(unavailable)))
    one.apply(one.change("kill_switch", {"model": "small"}))
    for asked in (Request(), Request(profile="thrifty"), Request(needs=("json",))):
        decision = one.decide("a", request=asked)
        assert [c.model for c in decision.candidates] == ["small"]
    assert one.decide("a", request=Request(models=("large",))).model == "large"  # as asked
    for refused, field in (
        (Request(exclude=("small",)), "exclude"),
        (Request(models=("large", "other")), "models"),
        (Request(needs=("tools",)), "needs"),
    ):
        with pytest.raises(NoEligibleArm, match="the kill switch gives") as caught:
            one.decide("a", request=refused)
        assert caught.value.field == field
    with pytest.raises(InvalidInput, match="kill switch"):
        one.change("model_removed", {"name": "small"})
    with pytest.raises(InvalidInput, match="kill switch"):
        one.configuration(one.settings, [Model(name="large")])
    one.apply(one.change("kill_switch", {"model": None}))
    one.apply(one.change("model_removed", {"name": "small"}))
    with pytest.raises(InvalidInput, match="dry_run"):
        router(dry_run="other").change("model_removed", {"name": "other"})


def test_a_profile_goes_on_without_a_model_that_was_removed() -> None:
    one = router([{"name": "two", "models": ["small", "other"]}])
    one.apply(one.change("model_removed", {"name": "other"}))
    decision = one.decide("a", vector=np.ones(4), request=Request(profile="two"))
    assert [c.model for c in decision.candidates] == ["small"]
    one.apply(one.change("model_removed", {"name": "small"}))
    with pytest.raises(NoEligibleArm):
        one.decide("a", vector=np.ones(4), request=Request(profile="two"))
