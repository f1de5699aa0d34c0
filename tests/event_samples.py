"""Events for the tests of every store: a few plain ones, and arbitrary ones."""

from typing import Any

from hypothesis import strategies as st

from bandit_router.types import (
    Candidate,
    Change,
    Decision,
    Event,
    Feedback,
    LineageEvent,
    Outcome,
    Request,
    Utility,
)

IDS = [f"d{i}" for i in range(5)]


def decision(seq: int, decision_id: str = "d0", **fields: Any) -> Decision:
    return Decision(
        seq=seq,
        time=float(seq),
        decision_id=decision_id,
        model="a",
        cluster=0,
        propensity=1.0,
        candidates=(Candidate(model="a", propensity=1.0),),
        utility=Utility(),
        **fields,
    )


def feedback(seq: int, decision_id: str = "d0", **fields: Any) -> Feedback:
    return Feedback(seq=seq, time=float(seq), decision_id=decision_id, reward=0.5, **fields)


def outcome(seq: int, decision_id: str = "d0") -> Outcome:
    return Outcome(seq=seq, time=float(seq), decision_id=decision_id, model="a", cost_usd=0.1)


def change(seq: int) -> Change:
    return Change(seq=seq, time=float(seq), what="configured", body={"models": []})


def born(seq: int, cluster: int = 1, other: int = 0) -> LineageEvent:
    return LineageEvent(
        seq=seq, time=float(seq), what="born", cluster=cluster, other=other, level=0, cause="test"
    )


def run_of(first: int, last: int) -> list[Event]:
    return [feedback(seq) for seq in range(first, last + 1)]


_number = st.floats(allow_nan=False, allow_infinity=False)
_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | _number | _text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3),
    max_leaves=6,
)
_some = {"seq": st.just(0), "time": _number, "version": st.just(1)}
_about = {**_some, "decision_id": st.sampled_from(IDS)}
_report = {
    "cost_usd": st.none() | _number,
    "latency_ms": st.none() | _number,
    "prompt_tokens": st.none() | st.integers(0, 2**40),
    "completion_tokens": st.none() | st.integers(0, 2**40),
}
_decisions = st.builds(
    Decision,
    **_about,
    model=_text,
    cluster=st.integers(0, 2**40),
    propensity=_number,
    candidates=st.lists(
        st.builds(Candidate, model=_text, propensity=_number, draw=st.none() | _number),
        max_size=3,
    ).map(tuple),
    utility=st.builds(Utility, cost_weight=_number),
    path=st.lists(st.integers(0, 2**40), max_size=3).map(tuple),
    vector=st.binary(max_size=64),
    prompt=st.none() | _text,
    request=st.builds(Request, user=st.none() | _text, metadata=st.dictionaries(_text, _json)),
)
_outcomes = st.builds(Outcome, **_about, **_report, model=_text, error=st.none() | _text)
_feedback = st.builds(
    Feedback, **_about, **_report, reward=st.none() | _number, source=_text, weight=_number
)
_changes = st.builds(
    Change,
    **_some,
    what=st.sampled_from(["configured", "model_set", "model_removed"]),
    body=st.dictionaries(_text, _json, max_size=3),
)
EVENTS = st.one_of(_decisions, _outcomes, _feedback, _changes)
