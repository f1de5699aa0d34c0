"""A table of candidates is, to whoever looks, a tuple of them."""

from __future__ import annotations

import pickle

import msgspec
import numpy as np
import pytest

from bandit_router import Router, codec
from bandit_router.candidates import Candidates, plain, rows
from bandit_router.explain import as_data
from bandit_router.service.explain import route_answer
from bandit_router.types import Candidate, Decision, Request

MODELS = ("small", "middle", "large")


def decided(request: Request | None = None) -> Decision:
    router = Router(MODELS, embedder="none")
    for reward in (0.0, 1.0, 0.5):
        decision = router.route(vector=[1.0, reward])
        router.feedback(decision.decision_id, reward, cost_usd=0.01)
    return router.decide(vector=[1.0, 0.5], request=request)


def test_a_decision_just_made_is_the_one_that_is_read_again() -> None:
    decision = decided()
    assert isinstance(decision.candidates, Candidates)
    again = codec.decode_event(codec.encode_event(decision))
    assert isinstance(again.candidates, tuple)
    assert decision == again
    assert hash(decision.candidates) == hash(again.candidates)
    assert repr(decision.candidates) == repr(again.candidates)
    assert codec.encode_event(again) == codec.encode_event(decision)
    assert as_data(again) == as_data(decision)
    for model in MODELS:
        assert decision.candidate(model) == again.candidate(model)
    assert decision.candidate("unknown") is None
    assert decision.candidates.best == max(again.candidates, key=lambda c: c.utility).model
    assert decision.chosen.propensity == decision.propensity
    assert pickle.loads(pickle.dumps(decision.candidates)) == again.candidates  # noqa: S301


def test_rows_are_those_of_the_arms_that_were_eligible_in_their_order() -> None:
    request = Request(models=("large", "small"))
    some = decided(request=request).candidates
    assert [row.model for row in some] == ["small", "large"]
    assert (some[0], some[-1], some[:1], len(some)) == (*some, (some[0],), 2)
    assert sum(row.propensity for row in some) == pytest.approx(1.0)


def test_what_is_unknown_is_none() -> None:
    row = np.array([[1.0, 0.5, 0.1, np.nan, np.nan, 0.5, 0.4, 3.0, 7.0, 3.0]])
    (one,) = Candidates(("a",), row)
    assert one == Candidate("a", 1.0, 0.5, 0.1, None, None, 0.5, 0.4, 3.0, (7.0, 3.0))
    assert Candidates(("a",), row) != [one]


def test_rows_of_a_table_are_those_of_its_candidates() -> None:
    found = decided().candidates
    assert any(candidate.latency_ms is None for candidate in found)  # nan in the table
    assert msgspec.json.encode(rows(found)) == msgspec.json.encode(rows(tuple(found)))


def test_the_answer_says_of_candidates_what_the_explanation_does() -> None:
    decision = decided()
    answered = msgspec.to_builtins(route_answer(decision, None, None))["candidates"]
    for said, row in zip(answered, as_data(decision)["candidates"], strict=True):
        assert list(said["quality_interval"]) == row["quality_interval"]
        assert said["insufficient_evidence"] == row["insufficient_evidence"]


def test_nothing_else_is_written_as_one() -> None:
    with pytest.raises(TypeError, match="object cannot be written"):
        msgspec.json.encode(object(), enc_hook=plain)
