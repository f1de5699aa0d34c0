"""One voice among several moves a posterior no further than its cap, whatever it does."""

from __future__ import annotations

import numpy as np
import pytest

from bandit_router import Feedback, Router
from bandit_router.accounts import Terms
from bandit_router.config import parse_config
from bandit_router.types import Request

CAP = 40.0
VECTOR = np.array([1.0, 0.0, 0.0])


def settle_down(voices: str, votes: int = 400) -> Router:
    """A router that several honest voices have taught that "good" is good."""
    settings = parse_config({"feedback": {"key_cap": CAP, "user_cap": CAP}}).settings
    router = Router(["good", "other"], settings=settings, embedder="none")
    if voices == "key":
        terms = {name: Terms(feedback=True) for name in ("evil", *"abcdefgh")}
        router.apply(router.change("keys", {"keys": terms}))
    for i in range(votes):
        vote(router, voices, "abcdefgh"[i % 8], 1.0 if i % 10 else 0.0)
    return router


def vote(router: Router, voices: str, who: str, *rewards: float, **said: object) -> str:
    models = ("good",)
    request = Request(models=models, **{voices: who})
    decision = router.route(vector=VECTOR, request=request)
    for reward in rewards:
        router.feedback(Feedback(decision_id=decision.decision_id, reward=reward, **said))
    return decision.decision_id


def good(router: Router) -> tuple[float, float]:
    arm = next(arm for arm in router.arms() if arm.model == "good")
    return arm.quality, arm.evidence


def attack(router: Router, voices: str, how: str) -> None:
    old = [vote(router, voices, "evil", 0.0) for _ in range(20)]
    for i in range(1500):
        if how == "votes":
            vote(router, voices, "evil", 0.0)
        elif how == "flips":
            vote(router, voices, "evil", 0.0, 1.0, 0.0)
        elif how == "weights":
            vote(router, voices, "evil", 0.0, weight=100.0)
        elif how == "sources":
            id_ = vote(router, voices, "evil")
            for source in "uvwxyz":
                router.feedback(Feedback(decision_id=id_, reward=0.0, source=source))
        elif how == "replays":
            router.feedback(Feedback(decision_id=old[i % 20], reward=float(i % 2)))


@pytest.mark.parametrize("voices", ["key", "user"])
@pytest.mark.parametrize("how", ["votes", "flips", "weights", "sources", "replays"])
def test_no_further_than_its_cap(voices: str, how: str) -> None:
    router = settle_down(voices)
    quality, evidence = good(router)
    attack(router, voices, how)
    after, grown = good(router)
    # The cap, and what the window gives back while it moves on (cap * ln 2 / window a decision).
    allowed = CAP * (1.0 + 0.7 * 1520 / 10_000) + 1.0
    assert grown - evidence <= allowed
    least = quality * evidence / (evidence + allowed)  # had every vote counted in full
    assert after >= least - 0.02


def test_costs_and_latencies_of_one_voice_are_believed_in_part() -> None:
    router = settle_down("key", votes=0)
    for i in range(240):
        id_ = vote(router, "key", "abcdefgh"[i % 8])
        router.feedback(Feedback(decision_id=id_, cost_usd=0.01, latency_ms=100.0))
    for _ in range(500):
        id_ = vote(router, "key", "evil")
        router.feedback(Feedback(decision_id=id_, cost_usd=1e9, latency_ms=1e9))
    arm = next(arm for arm in router.arms() if arm.model == "good")
    assert arm.cost_usd < 0.1
    assert arm.latency_ms < 200_000.0  # what is expected of latency is not logged: ten minutes


@pytest.mark.parametrize("request_", [Request(), Request(key="only"), Request(user="only")])
def test_a_single_voice_has_no_cap(request_: Request) -> None:
    router = Router(["good"], embedder="none")
    router.apply(router.change("keys", {"keys": {"only": Terms(feedback=True)}}))
    for _ in range(3000):
        decision = router.route(vector=VECTOR, request=request_)
        router.feedback(decision.decision_id, 1.0)
    assert good(router)[1] == pytest.approx(3000.0)
