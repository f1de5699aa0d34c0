"""The embedder that the settings name."""

from __future__ import annotations

from typing import Literal

from ..config import EmbedderSettings
from .base import Embedder
from .endpoint import OPENAI, EndpointEmbedder
from .minilm_onnx import OnnxMiniLM
from .sentence import MINILM, SentenceTransformerEmbedder
from .static import STATIC, StaticEmbedder


def make_embedder(
    settings: EmbedderSettings, *, auto: Literal["torch", "onnx"] = "onnx"
) -> Embedder:
    """Return the embedder that `settings` name; nothing is loaded before its first use.

    Parameters
    ----------
    auto
        What the backend ``auto`` prefers. Studies take the reference, ``torch``, so that their
        figures do not depend on what else is installed.
    """
    name, backend = settings.name, settings.backend
    if name == STATIC:
        return StaticEmbedder()
    if name.startswith(OPENAI):
        return EndpointEmbedder(
            name,
            base_url=settings.base_url,
            api_key_env=settings.api_key_env,
            timeout_s=settings.timeout_s,
        )
    if backend == "auto":
        backend = auto if OnnxMiniLM.installed() else "torch"
    if name == MINILM and backend == "onnx":
        return OnnxMiniLM(threads=settings.threads)
    return SentenceTransformerEmbedder(
        name, batch_size=settings.batch_size, threads=settings.threads
    )
