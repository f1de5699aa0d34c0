"""Endpoints that the LiteLLM library reaches: an extra, never needed for the others."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientTimeout

from ..exceptions import ConfigError
from ..types import Endpoint, Model
from .errors import UpstreamError, kind_of
from .http import key_of, named, where
from .sse import Event
from .translate import Json
from .wires import Call, Wire

_MISSING = "an endpoint of kind 'litellm' needs LiteLLM: pip install 'bandit-router[litellm]'"
_NOTHING = Event(b"", None)


def check_installed(models: tuple[Model, ...]) -> None:
    """Refuse endpoints of the kind `litellm` where the library is missing.

    Raises
    ------
    ConfigError
        Saying how to install it.
    """
    wanted = any(e.kind == "litellm" for model in models for e in model.endpoints)
    if wanted and importlib.util.find_spec("litellm") is None:
        raise ConfigError(f"models.endpoints.kind: {_MISSING}", "models.endpoints.kind")


class LiteAttempt:
    """An answer of LiteLLM's."""

    def __init__(self, found: Any, place: str) -> None:
        self._found = found
        self._place = place

    async def whole(self) -> tuple[bytes, Json]:
        """Return no bytes of its own, and the answer."""
        return b"", self._found.model_dump()

    async def events(self) -> AsyncIterator[list[tuple[Event, Json | None]]]:
        """Return chunks as they come."""
        try:
            async for chunk in self._found:
                yield [(_NOTHING, chunk.model_dump(exclude_none=True))]
        except Exception as error:  # of many kinds, from as many libraries
            raise _failure(error, self._place) from None


@asynccontextmanager
async def calling(
    session: Any, model: Model, endpoint: Endpoint, call: Call, wire: Wire, timeout: ClientTimeout
) -> AsyncIterator[LiteAttempt]:
    """Send a request through LiteLLM; see `http.calling`."""
    place = where(endpoint)
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks a web site
    try:
        litellm = await asyncio.to_thread(importlib.import_module, "litellm")
    except ImportError:
        raise UpstreamError(_MISSING, "setup") from None
    ask = litellm.aembedding if call.form == "embeddings" else litellm.acompletion
    key = key_of(endpoint)
    extra = {} if key is None else {"api_key": key}
    try:
        found = await ask(
            **wire.body,
            **extra,
            api_base=endpoint.base_url,
            timeout=timeout.sock_read,
            num_retries=0,
            max_retries=0,
        )
    except Exception as error:  # of many kinds, from as many libraries
        raise _failure(error, place) from None
    yield LiteAttempt(found, place)


def _failure(error: Exception, place: str) -> UpstreamError:
    status = getattr(error, "status_code", None)
    message = f"{place}: {named(error)}"
    if isinstance(error, TimeoutError) or type(error).__name__ == "Timeout":
        return UpstreamError(message, "timeout")
    if not isinstance(status, int):
        return UpstreamError(message, "connection")
    body = str(error).encode("utf-8", "replace")
    return UpstreamError(message, kind_of(status, body), status=status)
