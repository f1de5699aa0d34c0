"""What users do next is told of the answer before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bandit_router.config import SignalsSettings
from bandit_router.exceptions import InvalidInput
from bandit_router.providers import Answer, Call
from bandit_router.service.gateway import Answered
from bandit_router.service.signals.implicit import Implicit
from bandit_router.types import Candidate, Decision, Outcome, Utility

LAKE = "how deep is the lake of Zurich"


def said(*texts: str) -> list[dict[str, Any]]:
    return [
        {"role": "assistant" if i % 2 else "user", "content": text} for i, text in enumerate(texts)
    ]


class Users:
    """Conversations, a clock, and embeddings of hashed words."""

    def __init__(self, embedder: Any, **settings: Any) -> None:
        self.now = 1000.0
        self.implicit = Implicit(SignalsSettings(**settings), self.embed, lambda: self.now)
        self.embedder = embedder
        self.answers = 0

    async def embed(self, text: str) -> Any:
        if self.embedder is None:
            raise InvalidInput("no embedder")
        return self.embedder.encode([text])[0]

    async def ask(
        self,
        messages: list[dict[str, Any]],
        after: float = 10.0,
        *,
        says: str = "136 metres",
        session: str | None = None,
        user: str | None = None,
        key: str | None = None,
        latency_s: float = 1.0,
        named: bool = False,
    ) -> list[tuple[str, str, float]]:
        """Ask `after` seconds; the answer comes a second later. What was told of whom."""
        self.now += after + latency_s
        self.answers += 1
        id_ = f"d{self.answers}"
        candidate = Candidate(model="m", propensity=1.0)
        decision = Decision(seq=1, time=self.now, decision_id=id_, model="m", cluster=0,
                            propensity=1.0, candidates=(candidate,), utility=Utility())  # fmt: skip
        outcome = Outcome(seq=0, time=0, decision_id=id_, model="m", latency_ms=1000 * latency_s)
        raw: dict[str, Any] = {"model": "auto", "messages": messages}
        if user:
            raw["user"] = user
        answered = Answered(
            Call("chat", raw), Answer(text=says), outcome, None if named else decision, session, key
        )
        return [
            (f.decision_id, f.source.removeprefix("implicit:"), float(f.reward or 0.0))
            for f in await self.implicit(answered)
        ]


@pytest.fixture
def users(embedder: Any) -> Users:
    return Users(embedder)


async def test_in_a_session(users: Users) -> None:
    ask = users.ask
    assert await ask(said(LAKE), session="s") == []
    assert await ask(said(LAKE), session="s") == [("d1", "regenerate", 0.0)]
    longer = said(LAKE, "136 metres", LAKE + "?")
    assert await ask(longer, session="s") == [("d2", "retry", 0.0)]
    again = said("how deep is the Zurich lake")
    assert await ask(again, 100, session="s") == [("d3", "rephrase", 0.0)]
    assert await ask(said("write a poem on cats"), session="s") == [("d4", "moved-on", 1.0)]
    assert await ask(said("write a poem on cats"), session="other") == []
    assert await ask(said("and now?"), 4000, session="s") == []  # the session was over


async def test_without_a_session_the_history_tells(users: Users) -> None:
    assert await users.ask(said(LAKE)) == []
    assert await users.ask(said(LAKE)) == []  # perhaps somebody else
    parts = said(LAKE, "136 metres", "and how wide at its narrowest?")
    parts[1]["content"] = [{"type": "text", "text": "136 metres"}]  # as some clients send it back
    assert await users.ask(parts) == [("d2", "moved-on", 1.0)]
    assert await users.ask(parts) == [("d3", "regenerate", 0.0)]
    assert await users.ask(said(LAKE, "137 metres", "really?")) == []  # no answer of ours


async def test_a_user_who_tries_again_within_a_minute(users: Users) -> None:
    assert await users.ask(said(LAKE), user="u") == []
    assert await users.ask(said(LAKE), user="v") == []
    assert await users.ask(said(LAKE), user="u", key="another key") == []
    assert await users.ask(said(LAKE), user="u") == [("d1", "retry", 0.0)]
    assert await users.ask(said("something else"), user="u") == []  # which conversation?
    assert await users.ask(said(LAKE), 61, user="u") == []


async def test_long_questions_are_the_same_or_unknown(users: Users) -> None:
    document = "a very long document " * 1000
    assert await users.ask(said(document + "Summarise it."), session="s") == []
    assert await users.ask(said(document + "Translate it."), session="s") == []
    longer = said(document + "Translate it.", "no", document + "translate it!")
    assert await users.ask(longer, session="s") == [("d2", "retry", 0.0)]


async def test_requests_side_by_side_are_no_second_try(users: Users) -> None:
    assert await users.ask(said(LAKE), session="s", latency_s=5.0) == []
    users.now -= 3.0  # came while the first was still being answered
    assert await users.ask(said(LAKE), 0.0, session="s") == []


async def test_an_agent_at_work_is_not_its_user(users: Users) -> None:
    assert await users.ask(said(LAKE), session="s", says="") == []
    called = {"role": "assistant", "content": None, "tool_calls": []}
    result = {"role": "tool", "tool_call_id": "1", "content": "136"}
    work = [*said(LAKE), called, result]
    assert await users.ask(work, session="s") == []
    thanks = [*work, {"role": "assistant", "content": "136 m"}, *said("write a poem on cats")]
    assert await users.ask(thanks, session="s") == [("d2", "moved-on", 1.0)]


async def test_a_model_that_was_named_is_not_judged_but_tells(users: Users) -> None:
    assert await users.ask(said(LAKE), session="s") == []
    assert await users.ask(said(LAKE), session="s", named=True) == [("d1", "regenerate", 0.0)]
    assert await users.ask(said(LAKE), session="s") == []


async def test_without_an_embedder_equal_questions_are_told() -> None:
    users = Users(None)
    assert await users.ask(said(LAKE), session="s") == []
    again = said(LAKE, "136", LAKE.upper())
    assert await users.ask(again, 100, session="s") == [("d1", "rephrase", 0.0)]


async def test_what_is_similar_is_a_setting(embedder: Any) -> None:
    one, other = LAKE, "how deep is the Zurich lake"
    cosine = float(np.dot(*embedder.encode([one, other])))
    for threshold, kind in ((cosine - 0.01, "rephrase"), (cosine + 0.01, "moved-on")):
        users = Users(embedder, rephrase_similarity=threshold)
        await users.ask(said(one), session="s")
        assert (await users.ask(said(other), 100, session="s"))[0][1] == kind


async def test_nothing_is_kept_longer_than_a_session(users: Users) -> None:
    for i in range(50):
        await users.ask(said(LAKE), 0.0, session=str(i), latency_s=0.0)
    assert await users.ask(said(LAKE), 4000, session="new") == []
    assert len(users.implicit._turns) == 3  # of the last: again, its session, its history
