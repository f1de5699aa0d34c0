"""Embeddings kept on disk, so that a second run over the same prompts is fast."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from .base import Embedder

_CHUNK = 256


class CachedEmbedder:
    """An embedder that remembers, in one SQLite file a model, what it has encoded.

    Parameters
    ----------
    embedder
        Encodes what is not known yet.
    folder
        Where the files live; by default the user's cache folder.
    progress
        Called with the number of prompts done, after each chunk.
    """

    def __init__(
        self,
        embedder: Embedder,
        folder: Path | None = None,
        progress: Callable[[int], object] | None = None,
    ) -> None:
        self.name = embedder.name
        self._embedder = embedder
        self._progress = progress or (lambda done: None)
        folder = folder or user_cache_path("bandit-router") / "embeddings"
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{hashlib.sha256(self.fingerprint.encode()).hexdigest()[:16]}.db"

    @property
    def fingerprint(self) -> str:
        """Name of the exact weights."""
        return self._embedder.fingerprint

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimension); unknown texts are encoded once."""
        keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
        db = sqlite3.connect(self.path, timeout=60)
        try:
            db.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB)")
            known = self._read(db, set(keys))
            missing = {k: t for k, t in zip(keys, texts, strict=True) if k not in known}
            self._progress(len(texts) - len(missing))
            # Longest first would pad least, but equal lengths side by side pad as little
            # and keep the progress honest.
            todo = sorted(missing.items(), key=lambda item: len(item[1]))
            for start in range(0, len(todo), _CHUNK):
                part = todo[start : start + _CHUNK]
                vectors = self._embedder.encode([text for _, text in part])
                rows = [(key, v.tobytes()) for (key, _), v in zip(part, vectors, strict=True)]
                with db:
                    db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)
                known.update(rows)
                self._progress(len(part))
        finally:
            db.close()
        return np.array([np.frombuffer(known[key], dtype="<f4") for key in keys], dtype=np.float32)

    @staticmethod
    def _read(db: sqlite3.Connection, keys: set[bytes]) -> dict[bytes, bytes]:
        wanted = list(keys)
        found: dict[bytes, bytes] = {}
        for start in range(0, len(wanted), _CHUNK):
            part = wanted[start : start + _CHUNK]
            marks = ",".join("?" * len(part))
            found.update(
                db.execute(f"SELECT key, vector FROM vectors WHERE key IN ({marks})", part)
            )
        return found
