"""What the operator has to say of answers: a Python function, a webhook."""

from __future__ import annotations

import asyncio
import inspect
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Literal

import aiohttp
import msgspec

from ...config import SignalsSettings
from ...exceptions import ConfigError
from ...providers import Json, body_of
from ...types import Feedback
from ..gateway import Answered
from ..imported import imported
from ..redaction import Redact

_THREADS = 2
CHECK, WEBHOOK = "verifier:check", "verifier:webhook"


class _Word(msgspec.Struct):
    reward: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    rating: Literal["up", "down"] | None = None


_decode = msgspec.json.Decoder(_Word).decode


class Check:
    """Asks a Python function: ``check(request, answer)`` -> bool, a reward in [0, 1], or None.

    A plain function runs on a thread of its own; one that takes too long is no longer waited for.

    Raises
    ------
    ConfigError
        If there is no such function.
    """

    def __init__(self, settings: SignalsSettings) -> None:
        self._timeout = settings.timeout_s
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="check")
        self._check = imported(settings.check or "", "signals.check")

    async def __call__(self, answered: Answered) -> list[Feedback]:
        """Return what it says."""
        if answered.decision is None:
            return []
        request, answer = answered.call.chat(), shown(answered)
        async with asyncio.timeout(self._timeout):
            if inspect.iscoroutinefunction(self._check):
                said = await self._check(request, answer)
            else:
                loop = asyncio.get_running_loop()
                said = await loop.run_in_executor(self._threads, self._check, request, answer)
        if said is None:
            return []
        id_ = answered.decision.decision_id
        return [Feedback(decision_id=id_, reward=float(said), source=CHECK)]


class Webhook:
    """Posts answers to a URL, which may reply with a reward or a rating, or with nothing (204)."""

    def __init__(
        self, settings: SignalsSettings, session: aiohttp.ClientSession, redact: Redact
    ) -> None:
        self._settings, self._session, self._redact = settings, session, redact
        name = settings.webhook_token_env
        self._token = os.environ.get(name, "") if name else ""
        if name and not self._token:
            field = "signals.webhook_token_env"
            raise ConfigError(f"{field}: the environment variable {name} is not set", field)

    async def __call__(self, answered: Answered) -> list[Feedback]:
        """Return what it replies."""
        if answered.decision is None:
            return []
        id_ = answered.decision.decision_id
        outcome = answered.outcome
        told = {
            "decision_id": id_,
            "model": outcome.model,
            "request": redacted(answered.call.chat(), self._redact),
            "answer": redacted(shown(answered), self._redact),
            "cost_usd": outcome.cost_usd,
            "latency_ms": outcome.latency_ms,
        }
        body = msgspec.json.encode(told)
        headers = {"Content-Type": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        async with (
            asyncio.timeout(self._settings.timeout_s),
            self._session.post(
                self._settings.webhook or "", data=body, headers=headers, allow_redirects=False
            ) as response,
        ):
            if response.status >= 300:
                raise ConnectionError(f"the webhook answered {response.status}")
            data = await body_of(response)
        said = _decode(data) if data.strip() else _Word()
        reward = said.reward if said.rating is None else float(said.rating == "up")
        if reward is None:
            return []
        return [Feedback(decision_id=id_, reward=reward, source=WEBHOOK)]


def shown(answered: Answered) -> Json:
    """Return an answer as checks and webhooks see it."""
    answer = answered.answer
    return {
        "text": answer.text,
        "tool_calls": answer.tool_calls,
        "refusal": answer.refusal,
        "finish_reason": answer.finish_reason,
    }


def redacted(value: Any, redact: Redact) -> Any:
    """Return JSON with every text in it redacted; the names of fields stay."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [redacted(one, redact) for one in value]
    if isinstance(value, dict):
        return {name: redacted(one, redact) for name, one in value.items()}
    return value
