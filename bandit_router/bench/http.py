"""The service over HTTP, one worker, beside what limits it: an empty handler, the encoder.

Server and load generator are processes of their own and share the machine, in turns, so that
ratios hold where figures do not. Learning, logging and propensities are on.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from importlib import resources
from time import perf_counter, process_time

import numpy as np

from ..config import EmbedderSettings
from ..embedding import Embedder, make_embedder
from . import servers
from .run import Run

ROUNDS = 3
CONNECTIONS = 32
FEEDBACK_CONNECTIONS = 64

_MODELS = "".join(
    f'[[models]]\nname = "m{i}"\ninput_usd_per_m = {0.1 + i}\noutput_usd_per_m = {0.4 + i}\n'
    for i in range(3)
)


def prompts() -> list[str]:
    """Return the bundled prompts: public ones, of mixed length."""
    file = resources.files("bandit_router.service.demo") / "table" / "prompts.jsonl.gz"
    with file.open("rb") as data:
        lines = gzip.decompress(data.read()).splitlines()
    return [json.loads(line)["prompt"] for line in lines]


def static(run: Run) -> dict[str, float]:
    """`/route` with the embedder `static` beside an empty handler; durable `/feedback`."""
    bodies = [json.dumps({"prompt": prompt}) for prompt in prompts()]
    spent: dict[str, list[float]] = {}

    def note(**figures: float) -> None:
        for name, value in figures.items():
            spent.setdefault(name, []).append(value)

    profile = None if run.profile is None else run.profile / "serve.prof"
    with servers.empty() as empty, servers.service(_config("static"), profile=profile) as service:
        service.load("/route", bodies, connections=CONNECTIONS, seconds=run.seconds)
        for number in range(ROUNDS):
            run(f"/route with static beside an empty handler, round {number + 1} of {ROUNDS}")
            least, least_cpu = empty.measured(
                "/route", bodies, connections=CONNECTIONS, seconds=run.seconds
            )
            ours, ours_cpu = service.measured(
                "/route", bodies, connections=CONNECTIONS, seconds=run.seconds, keep=True
            )
            said = [
                json.dumps({"decision_id": json.loads(body)["decision_id"], "reward": 1.0})
                for body in ours.bodies
            ]
            told, told_cpu = service.measured(
                "/feedback",
                said,
                connections=FEEDBACK_CONNECTIONS,
                seconds=run.seconds,
                once=True,
            )
            note(
                http_empty_per_s=least.rate,
                http_empty_p99_ms=least.quantile(0.99),
                http_empty_cpu_us=least_cpu,
                route_static_per_s=ours.rate,
                route_static_p50_ms=ours.quantile(0.5),
                route_static_p99_ms=ours.quantile(0.99),
                route_static_cpu_us=ours_cpu,
                route_static_ratio=ours.rate / least.rate,
                route_static_p99_ratio=ours.quantile(0.99) / least.quantile(0.99),
                route_static_cpu_ratio=least_cpu / ours_cpu,
                feedback_per_s=told.rate,
                feedback_p99_ms=told.quantile(0.99),
                feedback_cpu_us=told_cpu,
            )
    return {name: float(np.median(values)) for name, values in spent.items()}


def minilm(run: Run) -> dict[str, float]:
    """`/route` with MiniLM beside its encoder alone, and that beside sentence-transformers.

    `bare`, at one connection, is the encoder with the least around it.
    """
    texts = prompts()
    bodies = [json.dumps({"prompt": prompt}) for prompt in texts]
    embedder = make_embedder(EmbedderSettings(name="minilm"))
    embedder.encode(texts[:1])  # loaded
    spent: dict[str, list[float]] = {}

    def note(**figures: float) -> None:
        for name, value in figures.items():
            spent.setdefault(name, []).append(value)

    with servers.service(_config("minilm")) as service, servers.encoder() as bare:
        run("MiniLM: the best batch size of the encoder alone")
        sizes = {size: _rate(embedder, texts, size, run.seconds / 3)[0] for size in (1, 8, 32, 128)}
        best = max(sizes, key=sizes.__getitem__)
        for number in range(ROUNDS):
            run(f"/route with MiniLM beside the encoder alone, round {number + 1} of {ROUNDS}")
            alone, encoder_cpu = _rate(embedder, texts, best, run.seconds)
            ours, ours_cpu = service.measured(
                "/route", bodies, connections=CONNECTIONS, seconds=run.seconds
            )
            wait = _wait(embedder, texts, run.seconds)
            one, one_bare = (
                server.load("/route", bodies, connections=1, seconds=run.seconds).quantile(0.5)
                for server in (service, bare)
            )
            note(
                minilm_encoder_per_s=alone,
                route_minilm_per_s=ours.rate,
                route_minilm_ratio=ours.rate / alone,
                route_minilm_cpu_ratio=encoder_cpu / ours_cpu,  # of the encoder in a request's
                minilm_encoder_ms=wait,
                route_minilm_ms=one,
                route_minilm_added_ms=one - wait,
                minilm_bare_added_ms=one_bare - wait,
            )
    medians = {name: float(np.median(values)) for name, values in spent.items()}
    return {"minilm_best_batch": float(best), **medians, **embedders(run)}


def embedders(run: Run) -> dict[str, float]:
    """One prompt alone by every way to embed it, one thread each, in turns; milliseconds.

    Medians over prompts of the best of three: other work on the machine only ever adds to it.
    """
    run("one prompt by sentence-transformers, by ONNX Runtime, and static")
    ways = {
        "torch": make_embedder(EmbedderSettings(backend="torch", threads=1)),
        "onnx": make_embedder(EmbedderSettings(backend="onnx", threads=1)),
        "static": make_embedder(EmbedderSettings(name="static")),
    }
    texts = prompts()[:60]
    spent: dict[str, list[float]] = {name: [] for name in ways}
    cosines = []
    for text in texts:
        vectors = {}
        for name, embedder in ways.items():
            times = []
            for _ in range(3):
                start = perf_counter()
                vectors[name] = embedder.encode([text])[0]
                times.append(1e3 * (perf_counter() - start))
            spent[name].append(min(times))
        cosines.append(float(vectors["torch"] @ vectors["onnx"]))
    out = {f"embed_{name}_ms": float(np.median(times)) for name, times in spent.items()}
    ratios = [a / b for a, b in zip(spent["torch"], spent["onnx"], strict=True)]
    out["embed_onnx_ratio"] = float(np.median(ratios))
    out["embed_onnx_cosine_min"] = min(cosines)
    return out


def _rate(
    embedder: Embedder, texts: Sequence[str], size: int, seconds: float
) -> tuple[float, float]:
    """Return how many texts a second it encodes in batches of this size, and a text's CPU time.

    The latter in microseconds.
    """
    start, cpu, done = perf_counter(), process_time(), 0
    while perf_counter() - start < seconds:
        at = done % len(texts)
        done += len(embedder.encode(texts[at : at + size]))
    return done / (perf_counter() - start), 1e6 * (process_time() - cpu) / done


def _wait(embedder: Embedder, texts: Sequence[str], seconds: float) -> float:
    """Return the median latency of one text alone, milliseconds."""
    spent: list[float] = []
    end = perf_counter() + seconds
    while (start := perf_counter()) < end:
        embedder.encode([texts[len(spent) % len(texts)]])
        spent.append(1e3 * (perf_counter() - start))
    return float(np.median(spent))


def _config(embedder: str) -> str:
    # Without a cache: every prompt is encoded, however often it comes.
    return f'[embedder]\nname = "{embedder}"\ncache_size = 0\n{_MODELS}'
