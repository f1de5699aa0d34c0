"""One call to one OpenAI-compatible endpoint, and what its failure means."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any

import aiohttp

from ..types import Endpoint, Model

_RETRYABLE = {300, 301, 302, 307, 308, 401, 403, 408, 409, 425, 429, 500, 502, 503, 504, 529}
_MAX_ERROR_BYTES = 4096


class UpstreamError(Exception):
    """An endpoint did not answer.

    Parameters
    ----------
    message
        What happened, without any secret.
    status
        What it answered with, if it did.
    retryable
        Whether another try, or another endpoint, may succeed; if not, the request itself was
        refused and the endpoint's answer belongs to the client.
    retry_after
        Seconds that the endpoint asks to wait.
    body
        What it answered with, for the client.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = True,
        retry_after: float | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable
        self.retry_after = retry_after
        self.body = body


class Attempt:
    """An endpoint's good answer, its body still to be read.

    Attributes
    ----------
    response
        Status below 300.
    """

    def __init__(self, model: Model, endpoint: Endpoint, response: aiohttp.ClientResponse) -> None:
        self.model = model
        self.endpoint = endpoint
        self.response = response

    async def json(self) -> tuple[bytes, dict[str, Any]]:
        """Return the body, as it came and parsed.

        Raises
        ------
        UpstreamError
            If it breaks off, is no JSON object, or is an error under a good status.
        """
        try:
            data = await self.response.read()
            parsed = json.loads(data)
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            raise UpstreamError(f"{where(self.endpoint)}: {_named(error)}") from None
        finally:
            self.response.release()
        if not isinstance(parsed, dict) or parsed.get("error"):
            raise UpstreamError(f"{where(self.endpoint)}: an error under a good status")
        return data, parsed


async def call(
    session: aiohttp.ClientSession,
    model: Model,
    endpoint: Endpoint,
    path: str,
    body: Mapping[str, Any],
    timeout: float,
) -> Attempt:
    """Send `body` to an endpoint; return as soon as its status is known and good.

    Raises
    ------
    UpstreamError
        For anything else.
    """
    try:
        response = await session.post(
            f"{(endpoint.base_url or '').rstrip('/')}{path}",
            json={**body, "model": endpoint.model or model.name},
            headers=_headers(endpoint),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=timeout, sock_read=timeout),
            allow_redirects=False,
        )
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        raise UpstreamError(f"{where(endpoint)}: {_named(error)}") from None
    if response.status < 300:
        return Attempt(model, endpoint, response)
    try:
        data = await asyncio.wait_for(response.content.read(_MAX_ERROR_BYTES), timeout)
    except (aiohttp.ClientError, TimeoutError):
        data = b""
    response.close()
    raise UpstreamError(
        f"{where(endpoint)}: answered {response.status}",
        status=response.status,
        retryable=response.status in _RETRYABLE,
        retry_after=_seconds(response.headers.get("Retry-After")),
        body=data,
    )


def where(endpoint: Endpoint) -> str:
    """Return an endpoint's address without credentials, for messages."""
    return (endpoint.base_url or "").split("//", 1)[-1].rsplit("@", 1)[-1]


def _headers(endpoint: Endpoint) -> dict[str, str]:
    if endpoint.api_key_env is None:
        return {}
    key = os.environ.get(endpoint.api_key_env)
    if not key:
        raise UpstreamError(
            f"{where(endpoint)}: the environment variable {endpoint.api_key_env} is not set",
            status=401,
        )
    return {"Authorization": f"Bearer {key}"}


def _seconds(text: str | None) -> float | None:
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None  # an HTTP date: the usual backoff will do


def _named(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
