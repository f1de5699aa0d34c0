"""Sources are believed by what they have said."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bandit_router import Feedback, Router
from bandit_router.sources import Sources
from bandit_router.types import Request


def heard(seed: int = 0, rounds: int = 600) -> Sources:
    rng = np.random.default_rng(seed)
    sources = Sources()
    for _ in range(rounds):
        expected = rng.uniform(0.2, 0.9)
        right = float(rng.random() < expected)
        sources.heard("test", right, expected)
        sources.heard("tenth wrong", right if rng.random() < 0.9 else 1.0 - right, expected)
        sources.heard("coin", float(rng.random() < 0.5), expected)
        sources.heard("always up", 1.0, expected)
        sources.heard("upside down", 1.0 - right, expected)
        sources.heard("strict", 0.5 * right, expected)
    return sources


def test_a_source_counts_by_how_much_quality_it_sees() -> None:
    found = heard(rounds=3000).all()
    assert found["test"] > 0.9
    assert 0.6 < found["tenth wrong"] < 1.0
    assert found["coin"] < 0.35
    assert found["always up"] < 0.35
    assert found["upside down"] == 0.05


def test_alone_a_source_is_believed_and_a_new_one_is_given_credit() -> None:
    sources = Sources()
    for i in range(100):
        sources.heard("coin", float(i % 2), 0.2 + 0.6 * (i % 3) / 2)
    assert sources.reliability("coin") == 1.0
    assert heard().reliability("never heard") == 1.0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.floats(0, 1), st.floats(0, 1))))
def test_taking_back_and_the_state(said: list) -> None:
    sources, kept = heard(1, 50), heard(1, 50)
    for source, reward, expected in said:
        sources.heard(source, reward, expected)
    for source, reward, expected in said:
        sources.heard(source, reward, expected, sign=-1.0)
    for source in ("test", "coin"):
        assert abs(sources.reliability(source) - kept.reliability(source)) < 1e-6
    other = Sources()
    other.load(sources.state())
    assert other.all() == sources.all()


def test_a_router_listens_to_the_reliable_and_logs_what_a_word_counted() -> None:
    rng = np.random.default_rng(0)
    router = Router(["good", "bad"], embedder="none")
    for step in range(500):
        only = Request(models=(("good", "bad")[step % 2],) if step % 4 < 2 else None)  # both seen
        decision = router.route(vector=[1.0, step % 7 / 7], request=only)
        right = float(rng.random() < {"good": 0.9, "bad": 0.3}[decision.model])
        router.feedback(Feedback(decision_id=decision.decision_id, reward=right, source="test"))
        noise = float(rng.random() < 0.5)
        router.feedback(Feedback(decision_id=decision.decision_id, reward=noise, source="bot"))
    assert router.sources.reliability("test") > router.sources.reliability("bot")
    said = {f.source: f for f in router.history(decision.decision_id).feedback}
    assert said["bot"].reliability < said["test"].reliability
    again = Router.restore([], state=router.snapshot())
    assert again.sources.all() == router.sources.all()


def test_what_a_word_counted_is_no_news() -> None:
    router = Router(["good", "bad"], embedder="none")
    decision = router.route(vector=[1.0, 0.0])
    said = Feedback(decision_id=decision.decision_id, reward=1.0, source="a")
    assert router.feedback(said) == "recorded"
    router.sources = heard()
    assert router.feedback(said) == "duplicate"
