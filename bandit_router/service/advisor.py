"""Asking a real LLM which model is to answer, for the strategy `llm-judge`.

The question is put before the decision, beside the embedding; the policy itself does no I/O.
Whatever goes wrong is written into the decision, and the policy's fallback decides.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from time import monotonic
from typing import Any

import aiohttp
import msgspec

from ..config import LLMJudgeSettings, Settings, strategies_named
from ..exceptions import ConfigError
from ..policies.judge import JudgePolicy, answer_of, question
from ..types import Advice, Model

_CHARS_PER_TOKEN = 4
_REPLY_TOKENS = 64


class _Usage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Reply(msgspec.Struct):
    choices: list[_Choice]
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Reply).decode


def check_judge(settings: Settings) -> None:
    """Refuse settings that name the strategy `llm-judge` without saying whom to ask.

    Raises
    ------
    ConfigError
        Naming what is missing.
    """
    ours = settings.llm_judge
    for key, name in strategies_named(settings):
        if name != JudgePolicy.name:
            continue
        for field in ("base_url", "model"):
            if not getattr(ours, field):
                raise ConfigError(
                    f"llm_judge.{field}: {key} is {name!r}, which asks an LLM: say which",
                    f"llm_judge.{field}",
                )
        if ours.api_key_env and not os.environ.get(ours.api_key_env):
            raise ConfigError(
                f"llm_judge.api_key_env: the environment variable {ours.api_key_env} is not set",
                "llm_judge.api_key_env",
            )


class Advisor:
    """Asks an OpenAI-compatible endpoint for a model.

    Parameters
    ----------
    session
        Shared by the whole application.
    settings
        Whom to ask, and how long to wait.
    """

    def __init__(self, session: aiohttp.ClientSession, settings: LLMJudgeSettings) -> None:
        self._session = session
        self._settings = settings

    async def ask(self, prompt: str, models: Sequence[Model]) -> Advice:
        """Return what the LLM says; never raises, and never takes longer than the timeout."""
        started = monotonic()
        asked = question(prompt, models, self._settings.max_prompt_chars)
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                reply = await self._reply(asked)
        except TimeoutError:
            return Advice(
                model=None,
                latency_ms=1000.0 * (monotonic() - started),
                error=f"no answer in {self._settings.timeout_s:g} seconds",
            )
        except (aiohttp.ClientError, OSError, ValueError, _Refused) as error:
            return Advice(
                model=None,
                latency_ms=1000.0 * (monotonic() - started),
                error=f"{type(error).__name__.lstrip('_')}: {error}".splitlines()[0][:200],
            )
        text = (reply.choices[0].message.content or "") if reply.choices else ""
        named = answer_of(text, [model.name for model in models])
        return Advice(
            model=named,
            cost_usd=self._cost(asked, reply),
            latency_ms=1000.0 * (monotonic() - started),
            error=None if named else f"named no model: {text[:100]!r}",
        )

    async def _reply(self, messages: list[dict[str, str]]) -> _Reply:
        ours = self._settings
        key = os.environ.get(ours.api_key_env or "")
        body: dict[str, Any] = {
            "model": ours.model,
            "messages": messages,
            "temperature": 0,
            "max_tokens": _REPLY_TOKENS,
        }
        async with self._session.post(
            f"{(ours.base_url or '').rstrip('/')}/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            allow_redirects=False,
        ) as response:
            if response.status >= 300:
                raise _Refused(f"the judge answered {response.status}")
            return _decode(await response.read())

    def _cost(self, messages: list[dict[str, str]], reply: _Reply) -> float:
        """Return what asking cost, by the usage stated; else by length."""
        usage, ours = reply.usage or _Usage(), self._settings
        sent = usage.prompt_tokens
        if sent is None:
            sent = sum(len(m["content"]) for m in messages) // _CHARS_PER_TOKEN
        got = 8 if usage.completion_tokens is None else usage.completion_tokens
        return (sent * ours.input_usd_per_m + got * ours.output_usd_per_m) / 1e6


class _Refused(Exception):
    """The judge's endpoint answered with an error."""
