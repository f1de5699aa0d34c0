"""Text to unit vector: sentence-transformers, a cache on disk, the projection to the map."""

from .base import Embedder, Projection, shipped_projection
from .cache import CachedEmbedder
from .sentence import SentenceTransformerEmbedder

__all__ = [
    "CachedEmbedder",
    "Embedder",
    "Projection",
    "SentenceTransformerEmbedder",
    "shipped_projection",
]
