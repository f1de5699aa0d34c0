"""Getting an answer from somewhere: retry, the next endpoint, the next model; never silently."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import aiohttp

from ..types import Endpoint, Model
from .upstream import Attempt, UpstreamError, call

_TRIES = 2
_BACKOFF_SECONDS = 0.2
_LONGEST_WAIT_SECONDS = 5.0
_OPEN_AFTER = 3
_OPEN_SECONDS = 20.0
_SMOOTHING = 0.2


@dataclass
class Health:
    """How an endpoint has done lately; its circuit is open until `closed_at`."""

    failures: int = 0
    closed_at: float = 0.0
    latency: float = 0.0


@dataclass(frozen=True)
class Failure:
    """One failed try."""

    model: str
    message: str


@dataclass
class Served:
    """An answer, when its call began, and every try that failed before it."""

    attempt: Attempt
    started: float
    failures: list[Failure] = field(default_factory=list)


class Fleet:
    """Endpoints with their health, over one client session.

    Parameters
    ----------
    session
        Shared by the whole application.
    timeout
        Seconds without a byte after which an endpoint counts as hanging.
    """

    def __init__(self, session: aiohttp.ClientSession, timeout: float) -> None:
        self._session = session
        self._timeout = timeout
        self._health: dict[tuple[str, Endpoint], Health] = {}

    async def serve(self, models: Sequence[Model], path: str, body: Mapping[str, Any]) -> Served:
        """Return the first good answer: of the first model if it can be had.

        Parameters
        ----------
        models
            In order of preference.

        Raises
        ------
        UpstreamError
            The last failure; not retryable if the request itself was refused.
        """
        failures: list[Failure] = []
        last = UpstreamError("no model has an endpoint")
        for model in models:
            for endpoint in self._ordered(model):
                try:
                    attempt, started = await self._tries(model, endpoint, path, body, failures)
                except UpstreamError as error:
                    last = error
                    if not error.retryable:
                        raise
                else:
                    return Served(attempt, started, failures)
        raise last

    def failed(self, model: Model, endpoint: Endpoint) -> None:
        """Note a failure; after three in a row the endpoint is tried last for a while."""
        health = self._of(model, endpoint)
        health.failures += 1
        if health.failures >= _OPEN_AFTER:
            health.closed_at = monotonic() + _OPEN_SECONDS

    def answered(self, attempt: Attempt, seconds: float) -> None:
        """Note that an endpoint answered, and how long it took."""
        health = self._of(attempt.model, attempt.endpoint)
        health.failures, health.closed_at = 0, 0.0
        health.latency += _SMOOTHING * (seconds - health.latency)

    async def _tries(
        self,
        model: Model,
        endpoint: Endpoint,
        path: str,
        body: Mapping[str, Any],
        failures: list[Failure],
    ) -> tuple[Attempt, float]:
        number = 0
        while True:
            started = monotonic()
            try:
                attempt = await call(self._session, model, endpoint, path, body, self._timeout)
            except UpstreamError as error:
                failures.append(Failure(model.name, str(error)))
                if error.retryable:
                    self.failed(model, endpoint)
                wait = error.retry_after
                if wait is None:
                    wait = _BACKOFF_SECONDS * 2**number * (0.5 + random.random())
                number += 1
                hopeless = not error.retryable or error.status in (401, 403)
                if number == _TRIES or hopeless or wait > _LONGEST_WAIT_SECONDS:
                    raise
                await asyncio.sleep(wait)
            else:
                return attempt, started

    def _ordered(self, model: Model) -> list[Endpoint]:
        """Endpoints whose circuit is closed first, the quicker before the slower."""
        now = monotonic()

        def rank(endpoint: Endpoint) -> tuple[bool, float]:
            health = self._of(model, endpoint)
            return health.closed_at > now, health.latency

        return sorted(model.endpoints, key=rank)

    def _of(self, model: Model, endpoint: Endpoint) -> Health:
        return self._health.setdefault((model.name, endpoint), Health())
