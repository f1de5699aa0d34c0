"""The API keys in use: who is known, what they may do, how often."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Protocol, TypeVar

from aiohttp import web

from ..accounts import Terms
from ..config import KeysSettings
from ..store.keys import ApiKey, Keys, Scope, matching
from .errors import Refused

T = TypeVar("T")
_RELOAD_SECONDS = 1.0


class Source(Protocol):
    """Where the keys come from."""

    def all(self) -> list[ApiKey]:
        """Return every key, the revoked too."""

    def close(self) -> None:
        """Close the connection."""


class Keyring:
    """The keys of the database, read again every second, and each one's rate.

    Parameters
    ----------
    store
        Closed with the keyring.
    settings
        `[keys]`.
    opened
        Opens the keys of the database to write to them.
    always
        Ask for a key also while there is none: where it is the key that tells tenants apart.
    """

    def __init__(
        self,
        store: Source,
        settings: KeysSettings,
        opened: Callable[[], Keys],
        *,
        always: bool = False,
    ) -> None:
        self._store = store
        self._opened = opened
        self._settings = settings
        self._always = always
        self._altering = asyncio.Lock()
        self._keys: dict[str, ApiKey] = {}
        self._terms: dict[str, Terms] = {}
        self._read_at = -math.inf
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens left, when

    def close(self) -> None:
        """Close the database's keys."""
        self._store.close()

    def keys(self) -> dict[str, ApiKey]:
        """Return every key by id, the revoked too."""
        if monotonic() - self._read_at >= _RELOAD_SECONDS:
            self._take(self._store.all(), monotonic())
        return self._keys

    async def alter(self, change: Callable[[Keys], T], check: Callable[[], None]) -> T:
        """Add or revoke keys, one after another, if `check` does not refuse it when its turn comes.

        From when this returns, requests are judged by what there is then.
        """

        def altered() -> tuple[T, list[ApiKey]]:
            with self._opened() as keys:
                return change(keys), keys.all()

        async with self._altering:
            check()
            told, found = await asyncio.to_thread(altered)
            # A replica's source is itself up to so old: it is asked again when it has caught up.
            self._take(found, monotonic() + _RELOAD_SECONDS)
            return told

    def _take(self, found: Iterable[ApiKey], at: float) -> None:
        self._keys = {key.id: key for key in found}
        self._terms = terms_of(self._keys.values())
        self._read_at = at

    @property
    def required(self) -> bool:
        """Whether there ever was a key: to revoke the last one opens no door."""
        return self._always or bool(self.keys())

    def terms(self) -> dict[str, Terms]:
        """Return what the log has to know of the keys in use."""
        self.keys()
        return self._terms

    def admit(self, request: web.Request, scopes: tuple[Scope, ...]) -> ApiKey | None:
        """Return the key of a request that may be made; None where none is needed.

        Raises
        ------
        Refused
            401 without a key that is known, 403 without one of the `scopes`, 429 above its rate.
        """
        if not scopes or not self.required:
            return None
        text = presented(request)
        if not text:
            raise _unknown("give an API key: 'Authorization: Bearer KEY'")
        key = matching(self.keys(), text)
        if key is None:
            raise _unknown("this API key is not known, or has been revoked")
        if not set(scopes) & set(key.scopes):
            wanted = " or ".join(scopes)
            raise Refused(403, f"this needs a key of scope {wanted}; {key.name!r} has not got it")
        self._count(key)
        return key

    def _count(self, key: ApiKey) -> None:
        """Take a token from the key's bucket, which holds a minute's worth."""
        rate = key.requests_per_minute or self._settings.requests_per_minute
        if rate is None:
            return
        most, now = max(1.0, rate), monotonic()
        left, then = self._buckets.get(key.id, (most, now))
        left = min(most, left + (now - then) * rate / 60.0)
        if left < 1.0:
            self._buckets[key.id] = (left, now)
            wait = math.ceil((1.0 - left) * 60.0 / rate)
            raise Refused(
                429,
                f"{key.name!r} may make {rate:g} requests a minute: wait {wait} s",
                headers={"Retry-After": str(wait)},
            )
        self._buckets[key.id] = (left - 1.0, now)


def presented(request: web.Request) -> str:
    """Return the API key that a request brings, whatever it is; empty without one."""
    kind, _, text = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer":
        text = request.headers.get("x-api-key", "")  # as Anthropic's clients say it
    return text.strip()


def _unknown(message: str) -> Refused:
    return Refused(401, message, headers={"WWW-Authenticate": 'Bearer realm="bandit-router"'})


def terms_of(keys: Iterable[ApiKey]) -> dict[str, Terms]:
    """Return what the log has to know of keys: of those in use."""
    return {key.id: _terms(key) for key in keys if key.revoked is None}


def _terms(key: ApiKey) -> Terms:
    return Terms(
        feedback="feedback" in key.scopes,
        usd_per_day=key.usd_per_day,
        usd_total=key.usd_total,
        paced=key.paced,
    )
