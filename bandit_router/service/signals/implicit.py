"""What users show by what they do next: they ask the same again, or they go on.

What they do is feedback on the *earlier* answer. A conversation is known by its session, or, where
the client names none, by its own history: a request that carries an answer of ours follows it.
Nothing is kept but in memory, and nothing longer than a session lasts.

References
----------
Learning from users who try again rather than from grades: arXiv 2602.02061.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...config import SignalsSettings
from ...exceptions import BanditRouterError
from ...providers import Json
from ...types import Feedback, Vector
from ..gateway import Answered
from .texts import text_of

FAMILY = "implicit"
REWARDS = {"regenerate": 0.0, "retry": 0.0, "rephrase": 0.0, "moved-on": 1.0}
_HELD = 30_000
_MOST_CHARS = 8_000  # longer questions hold documents: alike whatever is asked of them

Embed = Callable[[str], Awaitable[Vector]]
Key = tuple[str, str | None, str]


@dataclass
class Turn:
    """One answer that was given.

    Attributes
    ----------
    asked
        Digest of all messages.
    question, words
        The last thing the user said, empty if it is long, and a digest of it.
    answered
        When the answer was complete, seconds.
    decision_id
        None where the client named the model.
    judged
        Whether what the user did next has been told.
    """

    asked: str
    question: str
    words: str
    answered: float
    decision_id: str | None
    judged: bool = False


class Implicit:
    """Watches conversations.

    Parameters
    ----------
    settings
        What counts as the same again.
    embed
        Text to unit vector.
    clock
        Seconds since 1970.
    """

    def __init__(
        self, settings: SignalsSettings, embed: Embed, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._embed = embed
        self._clock = clock
        self._turns: OrderedDict[Key, Turn] = OrderedDict()

    async def __call__(self, answered: Answered) -> list[Feedback]:
        """Return what a request says of the answer before it, and remember its own."""
        now = self._clock()
        came = now - (answered.outcome.latency_ms or 0.0) / 1000.0
        messages: list[Json] = answered.call.chat()["messages"]
        digests = _digests(messages)
        keys = _keys(answered, messages, digests)
        id_ = None if answered.decision is None else answered.decision.decision_id
        turn = Turn(digests[-1], *_question(messages), now, id_)
        earlier, kind = None, None
        if messages[-1].get("role") == "user":  # else it is an agent at work, not the user
            earlier = self._earlier(keys, came)
            if earlier is not None:
                kind = await self._kind(earlier, turn, came, keys)
        after = _digest(digests[-1], "assistant", answered.answer.text)
        for key in (*keys.values(), ("history", answered.key, after)):
            self._keep(key, turn)
        if kind is None or earlier is None or earlier.decision_id is None:
            return []
        earlier.judged = True
        source = f"{FAMILY}:{kind}"
        return [Feedback(decision_id=earlier.decision_id, reward=REWARDS[kind], source=source)]

    def _earlier(self, keys: dict[str, Key], came: float) -> Turn | None:
        """Return the answer that a request comes after, if its user had seen it by then."""
        for name, key in keys.items():
            turn = self._turns.get(key)
            if turn is None or (turn.judged and name != "again"):
                continue
            if turn.answered <= came <= turn.answered + self._settings.session_s:
                return turn
        return None

    async def _kind(
        self, earlier: Turn, turn: Turn, came: float, keys: dict[str, Key]
    ) -> str | None:
        ours = self._settings
        soon = came - earlier.answered <= ours.retry_s
        known = any(name in keys for name in ("session", "again", "history"))
        if turn.asked == earlier.asked:
            if known:
                return "regenerate"
            return "retry" if soon else None
        if not known:
            return None
        if turn.words == earlier.words:
            return "retry" if soon else "rephrase"
        if not (turn.question and earlier.question):
            return None
        return "rephrase" if await self._alike(turn.question, earlier.question) else "moved-on"

    async def _alike(self, one: str, other: str) -> bool:
        try:
            cosine = float(np.dot(await self._embed(one), await self._embed(other)))
        except BanditRouterError:  # no embedder, or it is away: only equal questions are told
            return False
        return cosine >= self._settings.rephrase_similarity

    def _keep(self, key: Key, turn: Turn) -> None:
        self._turns[key] = turn
        self._turns.move_to_end(key)
        oldest = self._clock() - self._settings.session_s
        while self._turns:
            first = next(iter(self._turns))
            if len(self._turns) <= _HELD and self._turns[first].answered >= oldest:
                break
            del self._turns[first]


def _keys(answered: Answered, messages: list[Json], digests: list[str]) -> dict[str, Key]:
    """Return under what a request's conversation is known, the surest first.

    `again` are the same messages, in a session or after an answer: a question alone, asked twice,
    may be two users'. `user` alone tells no conversation, only who asks the same again.
    """
    key, out = answered.key, {}
    last = max((i for i, m in enumerate(messages) if m.get("role") == "assistant"), default=None)
    scope = answered.session_id or ""
    if scope or last is not None:
        out["again"] = ("again", key, f"{scope}\n{digests[-1]}")
    if last is not None:
        out["history"] = ("history", key, digests[last])
    if scope:
        out["session"] = ("session", key, scope)
    elif answered.user:
        out["user"] = ("user", key, answered.user)
    return out


def _digests(messages: list[Json]) -> list[str]:
    """Return a digest of the messages up to each."""
    out: list[str] = []
    before = ""
    for message in messages:
        before = _digest(before, str(message.get("role")), text_of(message), message)
        out.append(before)
    return out


def _digest(before: str, role: str, text: str, message: Any = None) -> str:
    """Return the digest of what was said before and one message more.

    Of a message only the role, the text and what a tool was told or told count: clients send
    answers back in other words than they got them in.
    """
    digest = hashlib.blake2b(f"{before}\n{role}\n{text.strip()}".encode("utf-8", "replace"))
    if message is not None and message.get("role") == "tool":
        digest.update(str(message.get("tool_call_id")).encode("utf-8", "replace"))
    return digest.hexdigest()[:32]


def _question(messages: list[Json]) -> tuple[str, str]:
    """Return the last thing the user said, empty if it is long, and a digest of its words.

    The digest is the same whatever the case, the spaces, and how it ends.
    """
    said = [m for m in messages if m.get("role") == "user"]
    text = text_of(said[-1]).strip() if said else ""
    words = " ".join(text.casefold().split()).rstrip("?!. ")
    return text if len(text) <= _MOST_CHARS else "", _digest("", "", words)
