"""Embeddings from an OpenAI-compatible endpoint."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ..exceptions import ConfigError, EmbedderError, InvalidInput
from .static import head_and_tail

if TYPE_CHECKING:
    import httpx2

OPENAI = "openai:"
HALF = 4000  # models read some 8,000 tokens, and a character is at most about one
BATCH = 64
TRIES = 2
PAUSE = 0.5  # seconds before it is tried again


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Item]


class EndpointEmbedder:
    """Unit vectors from ``POST {base_url}/embeddings``.

    Parameters
    ----------
    name
        ``openai:`` and the endpoint's name of the model.
    base_url
        Of the API, up to and with its version.
    api_key_env
        The environment variable that holds the key; none is sent where it is not set.
    timeout_s
        How long a call may take.
    """

    parallel = 8

    def __init__(self, name: str, *, base_url: str, api_key_env: str, timeout_s: float) -> None:
        self.name = name
        self._model = name.removeprefix(OPENAI)
        if not self._model:
            raise ConfigError(
                f"embedder.name: {name!r} names no model; give {OPENAI + 'MODEL'!r}",
                "embedder.name",
            )
        self._url = base_url.rstrip("/") + "/embeddings"
        self._key_env = api_key_env
        self._timeout_s = timeout_s
        self._client: httpx2.Client | None = None

    @property
    def fingerprint(self) -> str:
        """Name of model and endpoint."""
        return f"{self.name}@{self._url}"

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimension).

        Raises
        ------
        EmbedderError
            If the endpoint cannot be reached, is too slow, or does not do what it should.
        InvalidInput
            If it refuses a text.
        """
        read = [head_and_tail(text, HALF) for text in texts]
        parts = [self._embed(read[i : i + BATCH]) for i in range(0, len(read), BATCH)]
        out = np.concatenate(parts)
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        if not np.isfinite(norms).all() or not norms.all():
            raise EmbedderError(f"{self._url}: a vector is not finite or all zeros")
        unit: NDArray[np.float32] = (out / norms).astype(np.float32)
        return unit

    def _embed(self, texts: list[str]) -> NDArray[np.float64]:
        answer = self._answer({"model": self._model, "input": texts})
        items = sorted(answer.data, key=lambda item: item.index)
        if [item.index for item in items] != list(range(len(texts))):
            raise EmbedderError(f"{self._url}: not one vector for each text")
        if len({len(item.embedding) for item in items}) != 1:
            raise EmbedderError(f"{self._url}: vectors of different lengths")
        return np.array([item.embedding for item in items])

    def _answer(self, body: dict[str, Any]) -> _Answer:
        import httpx2

        if self._client is None:
            key = os.environ.get(self._key_env)
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            self._client = httpx2.Client(headers=headers, timeout=self._timeout_s)
            weakref.finalize(self, self._client.close)
        for left in reversed(range(TRIES)):
            try:
                response = self._client.post(self._url, json=body)
            except httpx2.TimeoutException:
                # Who waits has waited long enough.
                raise EmbedderError(
                    f"{self._url}: no answer in {self._timeout_s:g} s (embedder.timeout_s)"
                ) from None
            except httpx2.HTTPError as error:
                if not left:
                    raise EmbedderError(f"{self._url}: cannot be reached: {error}") from None
            else:
                if not left or not (response.status_code == 429 or response.status_code >= 500):
                    return self._read(response)
            time.sleep(PAUSE)
        raise AssertionError("unreachable")

    def _read(self, response: httpx2.Response) -> _Answer:
        status = response.status_code
        if status in (400, 413, 422):
            raise InvalidInput(
                f"prompt: the embedder's endpoint refused it: {_message(response)}", "prompt"
            )
        if status in (401, 403):
            raise EmbedderError(
                f"{self._url}: {status}, the key in the environment variable {self._key_env} "
                f"is missing or not accepted: {_message(response)}"
            )
        if status != 200:
            raise EmbedderError(
                f"{self._url}: {status} for the model {self._model!r}: {_message(response)}"
            )
        try:
            return msgspec.json.decode(response.content, type=_Answer)
        except msgspec.DecodeError as error:
            raise EmbedderError(f"{self._url}: no list of embeddings: {error}") from None


def _message(response: httpx2.Response) -> str:
    """Return what an error says, on one line and not too long."""
    try:
        said = response.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        said = response.text
    return " ".join(str(said).split())[:300]
