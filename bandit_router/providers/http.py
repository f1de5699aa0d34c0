"""One call to one endpoint over HTTP."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

import aiohttp
import msgspec

from ..types import Endpoint, Model
from .errors import Kind, UpstreamError, kind_of
from .sse import DONE, Event, Splitter
from .translate import Json
from .wires import Call, Wire

MAX_ANSWER_BYTES = 128_000_000
"""Of a whole answer; two thousand long embeddings take most of that."""
_MAX_ERROR_BYTES = 8192
_ANTHROPIC_URL = "https://api.anthropic.com"
_ANTHROPIC_VERSION = "2023-06-01"
_FAILURES = (aiohttp.ClientError, TimeoutError, OSError, ValueError)
Decoded = tuple[Event, Json | None]
"""An event and what its data holds: None for a comment or the end."""

_decode = msgspec.json.Decoder(Json).decode


class Attempt:
    """An endpoint's good status, its body still to be read."""

    def __init__(self, endpoint: Endpoint, response: aiohttp.ClientResponse) -> None:
        self._where = where(endpoint)
        self._response = response

    async def whole(self) -> tuple[bytes, Json]:
        """Return the body, as it came and decoded.

        Raises
        ------
        UpstreamError
            If it breaks off, grows beyond all bounds, is no JSON object, or is an error under a
            good status.
        """
        try:
            data = await body_of(self._response)
        except _FAILURES as error:
            raise UpstreamError(f"{self._where}: {named(error)}", _broken(error)) from None
        answer = decoded(data, self._where)
        if answer.get("error"):
            raise in_answer(answer["error"], self._where)
        return data, answer

    async def events(self) -> AsyncIterator[list[Decoded]]:
        """Return events as they come, those that come together together.

        Raises
        ------
        UpstreamError
            If the stream breaks off or holds what is no JSON.
        """
        splitter = Splitter()
        if self._response.content_type == "application/json":  # the stream was not taken notice of
            await self.whole()
            raise UpstreamError(f"{self._where}: a whole answer where a stream was due", "garbage")
        try:
            async for chunk in self._response.content.iter_any():
                if events := splitter.feed(chunk):
                    yield [(event, self._data(event)) for event in events]
        except _FAILURES as error:
            raise UpstreamError(f"{self._where}: {named(error)}", _broken(error)) from None
        if events := splitter.end():
            yield [(event, self._data(event)) for event in events]

    def _data(self, event: Event) -> Json | None:
        if event.data is None or event.data == DONE:
            return None
        return decoded(event.data, self._where)


@asynccontextmanager
async def calling(
    session: aiohttp.ClientSession,
    model: Model,
    endpoint: Endpoint,
    call: Call,
    wire: Wire,
    timeout: aiohttp.ClientTimeout,
) -> AsyncIterator[Attempt]:
    """Send a request; the call ends, whatever it has brought, with the context.

    Raises
    ------
    UpstreamError
        If the status is bad, or there is none.
    """
    try:
        response = await session.post(
            _url(endpoint, wire.path),
            data=msgspec.json.encode(wire.body),
            headers=_headers(endpoint, call),
            timeout=timeout,
            allow_redirects=False,
        )
    except _FAILURES as error:
        raise _unreached(error, endpoint) from None
    try:
        if response.status >= 300:
            raise await _refusal(response, endpoint, timeout.sock_read)
        yield Attempt(endpoint, response)
    finally:
        # Released, its connection serves again; what has not been read to its end is closed.
        response.release() if response.content.at_eof() else response.close()


async def _refusal(
    response: aiohttp.ClientResponse, endpoint: Endpoint, timeout: float | None
) -> UpstreamError:
    try:
        body = await asyncio.wait_for(response.content.read(_MAX_ERROR_BYTES), timeout)
    except _FAILURES:
        body = b""
    return UpstreamError(
        f"{where(endpoint)}: answered {response.status}{_reason(body)}",
        kind_of(response.status, body),
        status=response.status,
        retry_after=_retry_after(response.headers.get("Retry-After")),
        body=body,
    )


async def body_of(response: aiohttp.ClientResponse) -> bytes:
    """Return the body of an answer, unpacked.

    Raises
    ------
    ValueError
        If it is larger than any that is sensible: a small one may unfold to a big one.
    """
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise ValueError(f"an answer of more than {MAX_ANSWER_BYTES:,} bytes")
        parts.append(part)
    return b"".join(parts)


def where(endpoint: Endpoint) -> str:
    """Return an endpoint's address without credentials, for messages and the log."""
    url = endpoint.base_url or (_ANTHROPIC_URL if endpoint.kind == "anthropic" else None)
    if url is None:
        return f"litellm/{endpoint.model}"
    return url.split("//", 1)[-1].rsplit("@", 1)[-1].rstrip("/")


def key_of(endpoint: Endpoint) -> str | None:
    """Return an endpoint's key, from the environment.

    Raises
    ------
    UpstreamError
        If there is none where it should be.
    """
    if endpoint.api_key_env is None:
        return None
    key = os.environ.get(endpoint.api_key_env)
    if not key:
        message = f"the environment variable {endpoint.api_key_env} is not set"
        raise UpstreamError(f"{where(endpoint)}: {message}", "auth", status=401)
    return key


def decoded(data: bytes, place: str) -> Json:
    """Return a JSON object.

    Raises
    ------
    UpstreamError
        If it is none.
    """
    try:
        return _decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        begins = data[:60].decode("utf-8", "replace")
        raise UpstreamError(f"{place}: no JSON object but {begins!r}", "garbage") from None


def in_answer(error: object, place: str) -> UpstreamError:
    """Return the failure that an ``error`` in a good answer stands for."""
    said = f": {error['message']}" if isinstance(error, dict) and "message" in error else ""
    message = " ".join(f"{place}: an error under a good status{said}".split())
    return UpstreamError(message[:300], "error_in_answer")


def named(error: BaseException) -> str:
    """Return what went wrong, in one line."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]


def _url(endpoint: Endpoint, path: str) -> str:
    base = (endpoint.base_url or _ANTHROPIC_URL).rstrip("/")
    if endpoint.kind == "anthropic" and not base.endswith("/v1"):
        base += "/v1"  # Anthropic's clients leave it out of the base
    return base + path


def _headers(endpoint: Endpoint, call: Call) -> dict[str, str]:
    headers = {"Content-Type": "application/json"}
    key = key_of(endpoint)
    if endpoint.kind == "anthropic":
        headers["anthropic-version"] = _ANTHROPIC_VERSION
        if call.form == "messages":
            headers |= call.headers
        return headers if key is None else {**headers, "x-api-key": key}
    return headers if key is None else {**headers, "Authorization": f"Bearer {key}"}


def _unreached(error: BaseException, endpoint: Endpoint) -> UpstreamError:
    message = f"{where(endpoint)}: {named(error)}"
    if isinstance(error, TimeoutError):
        return UpstreamError(message, "timeout")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return UpstreamError(message, "dns")
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return UpstreamError(message, "tls")
    return UpstreamError(message, "connection")


def _broken(error: BaseException) -> Kind:
    return "timeout" if isinstance(error, TimeoutError) else "broke_off"


def _reason(body: bytes) -> str:
    """Return what an error's body says, if it says so in any of the usual ways."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ""
    error = found.get("error", found) if isinstance(found, dict) else None
    message = error.get("message") if isinstance(error, dict) else error
    return f": {' '.join(message.split())[:200]}" if isinstance(message, str) else ""


def _retry_after(text: str | None) -> float | None:
    """Return the seconds that a ``Retry-After`` asks for, be it a number or a date."""
    if not text:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, IndexError):
        return None
