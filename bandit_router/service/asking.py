"""One question to an LLM behind an OpenAI-compatible endpoint, and what asking it cost."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

import aiohttp
import msgspec

from ..exceptions import ConfigError
from ..providers import body_of

_CHARS_PER_TOKEN = 4

Messages = list[dict[str, str]]


class Asked(Protocol):
    """Whom to ask: a table of the settings."""

    @property
    def base_url(self) -> str | None:
        """Where."""

    @property
    def api_key_env(self) -> str | None:
        """The environment variable that holds the key."""

    @property
    def model(self) -> str | None:
        """The model's name there."""

    @property
    def timeout_s(self) -> float:
        """How long to wait."""

    @property
    def input_usd_per_m(self) -> float:
        """Its price."""

    @property
    def output_usd_per_m(self) -> float:
        """Its price."""


def check_asked(settings: Asked, table: str, why: str) -> None:
    """Refuse settings that do not say whom to ask.

    Parameters
    ----------
    table, why
        What is missing where, and what for.

    Raises
    ------
    ConfigError
        Naming what is missing.
    """
    for field in ("base_url", "model"):
        if not getattr(settings, field):
            raise ConfigError(f"{table}.{field}: {why}: say which", f"{table}.{field}")
    if settings.api_key_env and not os.environ.get(settings.api_key_env):
        raise ConfigError(
            f"{table}.api_key_env: the environment variable {settings.api_key_env} is not set",
            f"{table}.api_key_env",
        )


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


@dataclass(frozen=True)
class Said:
    """What an LLM replied: `text`, or the `error` that there is none."""

    text: str
    cost_usd: float
    latency_ms: float
    error: str | None = None


async def ask(
    session: aiohttp.ClientSession, settings: Asked, messages: Messages, *, max_tokens: int
) -> Said:
    """Return what the LLM says; never raises, and never takes longer than the timeout."""
    started = monotonic()
    reply, error = _Reply([]), None
    try:
        async with asyncio.timeout(settings.timeout_s):
            reply = await _reply(session, settings, messages, max_tokens)
    except TimeoutError:
        error = f"no answer in {settings.timeout_s:g} seconds"
    except (aiohttp.ClientError, OSError, ValueError, _Refused) as wrong:
        error = f"{type(wrong).__name__.lstrip('_')}: {wrong}".splitlines()[0][:200]
    return Said(
        text=(reply.choices[0].message.content or "") if reply.choices else "",
        cost_usd=0.0 if error else _cost(settings, messages, reply),
        latency_ms=1000.0 * (monotonic() - started),
        error=error,
    )


async def _reply(
    session: aiohttp.ClientSession, settings: Asked, messages: Messages, max_tokens: int
) -> _Reply:
    key = os.environ.get(settings.api_key_env or "")
    url = f"{(settings.base_url or '').rstrip('/')}/chat/completions"
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    bare: dict[str, Any] = {"model": settings.model, "messages": messages}
    # Models that reason take neither a temperature nor this name of the limit.
    for body in ({**bare, "temperature": 0, "max_tokens": max_tokens}, bare):
        async with session.post(url, json=body, headers=headers, allow_redirects=False) as response:
            if response.status == 400 and body is not bare:
                continue
            if response.status >= 300:
                raise _Refused(f"the judge answered {response.status}")
            return _decode(await body_of(response))
    raise AssertionError("the last body is answered or refused")


def _cost(settings: Asked, messages: Messages, reply: _Reply) -> float:
    """Return what asking cost, by the usage stated; else by length."""
    usage = reply.usage or _Usage()
    sent = usage.prompt_tokens
    if sent is None:
        sent = sum(len(m["content"]) for m in messages) // _CHARS_PER_TOKEN
    got = 8 if usage.completion_tokens is None else usage.completion_tokens
    return (sent * settings.input_usd_per_m + got * settings.output_usd_per_m) / 1e6


class _Refused(Exception):
    """The endpoint answered with an error."""
