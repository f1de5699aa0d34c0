"""A small client for a running service, sync and async; it imports nothing else of this package.

::

    from bandit_router.client import Client, wrap

    client = Client("http://127.0.0.1:8080")
    routed = client.route("Prove that 17 is prime.")
    client.feedback(routed.decision_id, reward=1.0)

    answer = openai_client.chat.completions.create(model="auto", messages=messages)
    wrap(openai_client).outcome(answer, reward=1.0)

What may be sent twice is tried again, with jittered backoff: feedback always (the service answers
`duplicate` if it has it already), a request for a model if it surely had not come through.
"""

from __future__ import annotations

import asyncio
import inspect
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal
from urllib.parse import urljoin

import httpx2

__all__ = ["AsyncClient", "Client", "Routed", "RouterError", "decision_id_of", "wrap"]

URL = "http://127.0.0.1:8080"
DECISION = "x-bandit-router-decision-id"

_BUSY = (429, 502, 503, 504)
_Got = httpx2.Response | httpx2.TransportError
"""What came of one try."""

_NOT_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_BACKOFF_SECONDS = 0.25
_LONGEST_WAIT_SECONDS = 10.0


class RouterError(Exception):
    """The service refused a request, or could not be reached.

    Attributes
    ----------
    status
        Of the answer; None if there was none.
    type, field
        What kind of error it is, and the field that is wrong, if the service says so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.field = field


@dataclass(frozen=True)
class Routed:
    """A decision.

    Attributes
    ----------
    decision_id
        For feedback.
    model
        The model that was chosen.
    cluster, propensity, expected, candidates
        As `POST /route` answers.
    feedback_url
        A signed link for feedback without a key, if the service makes them.
    """

    decision_id: str
    model: str
    cluster: int
    propensity: float
    expected: dict[str, float | None]
    candidates: list[dict[str, Any]]
    feedback_url: str | None = None


class _Shared:
    """What both clients do alike: everything but waiting; see `Client`."""

    _http: Any
    _kind: Any  # of `_http`

    def __init__(
        self,
        base_url: str = URL,
        api_key: str | None = None,
        *,
        timeout: float = 10.0,
        retries: int = 3,
    ) -> None:
        self._base_url = base_url.rstrip("/") + "/"
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = self._kind(timeout=timeout, headers=headers)
        self._retries = retries

    def _url(self, path: str) -> str:
        return urljoin(self._base_url, path.lstrip("/"))

    def _route(self, prompt: Any, options: dict[str, Any]) -> dict[str, Any]:
        named = "messages" if isinstance(prompt, list) else "prompt"
        given = {} if prompt is None else {named: prompt}
        return {**given, **{k: v for k, v in options.items() if v is not None}}

    def _routed(self, answer: dict[str, Any]) -> Routed:
        fields = {name: answer.get(name) for name in Routed.__dataclass_fields__}
        if fields["feedback_url"]:
            fields["feedback_url"] = self._url(fields["feedback_url"])
        return Routed(**fields)  # type: ignore[arg-type]

    def _again(self, got: _Got, attempt: int, repeatable: bool) -> float | None:
        """Return how long to wait before the next try; None: this one is the last."""
        if attempt == self._retries:
            return None
        if isinstance(got, httpx2.TransportError):
            return _wait(attempt) if repeatable or isinstance(got, _NOT_SENT) else None
        busy = got.status_code in _BUSY
        return _wait(attempt, got.headers.get("retry-after")) if busy else None

    def _read(self, got: _Got) -> dict[str, Any]:
        if isinstance(got, httpx2.TransportError):
            what = f"{type(got).__name__}: {got}"
            raise RouterError(f"{self._base_url} cannot be reached ({what})") from got
        return _read(got)


class Client(_Shared):
    """A client that blocks.

    Parameters
    ----------
    base_url
        Where the service is.
    api_key
        If it asks for keys.
    timeout
        Seconds for one try.
    retries
        Tries after the first.
    """

    _http: httpx2.Client
    _kind = httpx2.Client

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def route(self, prompt: str | list[dict[str, Any]] | None = None, **options: Any) -> Routed:
        """Ask which model is to answer.

        Parameters
        ----------
        prompt
            Text, or messages in OpenAI's form.
        **options
            As in the body of `POST /route`: `embedding`, `models`, `cost_weight`, `session_id` ...
        """
        return self._routed(self._post("/route", self._route(prompt, options), repeatable=False))

    def feedback(
        self,
        decision_id: str,
        *,
        reward: float | None = None,
        rating: Literal["up", "down"] | None = None,
        **rest: Any,
    ) -> str:
        """Say how good an answer was; return `recorded`, `updated` or `duplicate`.

        Parameters
        ----------
        decision_id
            As `route` returned it, or the header of an answer of the gateway.
        reward
            From 0 to 1; or a `rating`.
        **rest
            `cost_usd`, `latency_ms`, `prompt_tokens`, `completion_tokens`, `source`, `weight`.
        """
        body = _feedback(decision_id, reward, rating, rest)
        return str(self._post("/feedback", body, repeatable=True)["status"])

    def outcome(self, response: Any, **said: Any) -> str:
        """Say how good an answer of the gateway was, by the answer itself; see `decision_id_of`."""
        return self.feedback(decision_id_of(response), **said)

    def _post(self, path: str, body: dict[str, Any], *, repeatable: bool) -> dict[str, Any]:
        for attempt in count():
            got: _Got
            try:
                got = self._http.post(self._url(path), json=body)
            except httpx2.TransportError as error:
                got = error
            if (wait := self._again(got, attempt, repeatable)) is None:
                break
            time.sleep(wait)
        return self._read(got)


class AsyncClient(_Shared):
    """The same for asyncio; see `Client`."""

    _http: httpx2.AsyncClient
    _kind = httpx2.AsyncClient

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def route(
        self, prompt: str | list[dict[str, Any]] | None = None, **options: Any
    ) -> Routed:
        """Ask which model is to answer; see `Client.route`."""
        body = self._route(prompt, options)
        return self._routed(await self._post("/route", body, repeatable=False))

    async def feedback(
        self,
        decision_id: str,
        *,
        reward: float | None = None,
        rating: Literal["up", "down"] | None = None,
        **rest: Any,
    ) -> str:
        """Say how good an answer was; see `Client.feedback`."""
        body = _feedback(decision_id, reward, rating, rest)
        return str((await self._post("/feedback", body, repeatable=True))["status"])

    async def outcome(self, response: Any, **said: Any) -> str:
        """Say how good an answer of the gateway was, by the answer itself; see `decision_id_of`."""
        return await self.feedback(decision_id_of(response), **said)

    async def _post(self, path: str, body: dict[str, Any], *, repeatable: bool) -> dict[str, Any]:
        for attempt in count():
            got: _Got
            try:
                got = await self._http.post(self._url(path), json=body)
            except httpx2.TransportError as error:
                got = error
            if (wait := self._again(got, attempt, repeatable)) is None:
                break
            await asyncio.sleep(wait)
        return self._read(got)


def wrap(client: Any, **options: Any) -> Any:
    """Return a client of the service that an OpenAI or Anthropic client talks to.

    A `Client` for a blocking one, an `AsyncClient` for an async one, with its base URL and key.

    Parameters
    ----------
    client
        Such as ``openai.OpenAI(base_url="http://127.0.0.1:8080/v1")``.
    **options
        `timeout` and `retries`, see `Client`.
    """
    url = str(client.base_url).rstrip("/").removesuffix("/v1")
    key = client.api_key if isinstance(client.api_key, str) else None
    kind = AsyncClient if inspect.iscoroutinefunction(client.close) else Client
    return kind(url, key or None, **options)


def decision_id_of(response: Any) -> str:
    """Return the id of the decision behind an answer.

    Parameters
    ----------
    response
        What a client of the gateway returned: an answer or a stream of the SDKs of OpenAI or
        Anthropic, also raw; a response of httpx, requests or aiohttp; a message of LangChain
        (with `include_response_headers`), a response of LlamaIndex; a `Routed`; or the id itself.

    Raises
    ------
    ValueError
        If it does not say.

    Examples
    --------
    >>> decision_id_of({"x-bandit-router-decision-id": "abc"})
    'abc'
    """
    found = _found(response, depth=3)
    if found is None:
        raise ValueError(
            f"no decision id in this {type(response).__name__}: give an answer that came through "
            f"the gateway with a routed model, or the value of its header {DECISION}"
        )
    return found


def _found(response: Any, depth: int) -> str | None:
    if isinstance(response, str) or response is None or not depth:
        return response or None
    if isinstance(response, Mapping):
        named = response.get(DECISION) or response.get("decision_id")
        return str(named) if named else _found(response.get("headers"), depth - 1)
    for name in ("decision_id", "_request_id"):
        if isinstance(id_ := getattr(response, name, None), str):
            return id_
    # A stream's own response, LangChain's metadata, what LlamaIndex was answered.
    for name in ("headers", "response", "response_metadata", "raw"):
        inner = getattr(response, name, None)
        if not isinstance(inner, str) and (id_ := _found(inner, depth - 1)):
            return id_
    return None


def _feedback(
    decision_id: str, reward: float | None, rating: str | None, rest: dict[str, Any]
) -> dict[str, Any]:
    said = {"decision_id": decision_id, "reward": reward, "rating": rating, **rest}
    return {name: value for name, value in said.items() if value is not None}


def _wait(attempt: int, retry_after: str | None = None) -> float:
    """Return the seconds until the next try: what the service asks for, else a jittered backoff."""
    try:
        asked = float(retry_after or "")
    except ValueError:
        asked = _BACKOFF_SECONDS * 2**attempt * (0.5 + random.random())
    return min(max(asked, 0.0), _LONGEST_WAIT_SECONDS)


def _read(response: httpx2.Response) -> dict[str, Any]:
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if response.is_success and isinstance(answer, dict):
        return answer
    error = answer.get("error") if isinstance(answer, dict) else None
    error = error if isinstance(error, dict) else {}
    raise RouterError(
        error.get("message") or f"the service answered {response.status_code}",
        status=response.status_code,
        type=error.get("type"),
        field=error.get("field"),
    )
