"""Text to unit vector: several embedders, a cache on disk, the projection to the map."""

from .base import Embedder, Projection, shipped_projection
from .cache import CachedEmbedder
from .make import make_embedder
from .sentence import SentenceTransformerEmbedder
from .static import StaticEmbedder

__all__ = [
    "CachedEmbedder",
    "Embedder",
    "Projection",
    "SentenceTransformerEmbedder",
    "StaticEmbedder",
    "make_embedder",
    "shipped_projection",
]
