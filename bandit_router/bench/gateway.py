"""What the gateway costs: requests a second and added latency, before an instant mock upstream.

Four processes: the mock, the gateway (one worker; routing, learning and logging on), the load, and
this one. Latency added is what a request takes more than one sent to the mock itself under the same
load. LiteLLM's proxy can be measured in the same run, with its plain routing and with its
`adaptive_router`, each before the same mock and once more with its own ``network_mock``, which
leaves the upstream call out; it lives in an environment of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from time import perf_counter, sleep
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np

from .run import Run
from .servers import Measured, Server, service, upstream

CONCURRENCY = (1, 16)
ROUNDS = 5
EMBEDDERS = ("static", "minilm")
PEERS = {
    "litellm": (False, False),
    "litellm_adaptive": (True, False),
    "litellm_mocked": (False, True),
    "litellm_adaptive_mocked": (True, True),
}
"""LiteLLM's proxy: whether its `adaptive_router` chooses, and whether its network is mocked."""

SEEN = 200
"""Prompts that come again and again: they are embedded once and then found in the cache."""

_NEW = 3000
_PATH = "/v1/chat/completions"
_STARTS_WITHIN = 180.0
_ARMS = (("small", 0.1, 0.4), ("middle", 0.5, 2.0), ("large", 2.5, 10.0))
_THINGS = ("list", "tree", "graph", "file", "table", "song", "recipe", "contract", "proof", "map")
_VERBS = ("sort", "explain", "translate", "shorten", "draw", "test", "cook", "sign", "mend")


@dataclass
class Subject:
    """What is measured: a server, and the loads that it took, by concurrency."""

    name: str
    server: Server
    new: bool
    headers: Mapping[str, str] = field(default_factory=dict)
    found: dict[int, list[Measured]] = field(default_factory=dict)
    cpu_us: list[float] = field(default_factory=list)
    sent: int = 0

    def load(self, connections: int, seconds: float) -> None:
        """Send for so many seconds."""
        start = self.sent if self.new else 0
        self.sent += _NEW
        bodies = [_body(start + number) for number in range(_NEW if self.new else SEEN)]
        measured, cpu_us = self.server.measured(
            _PATH, bodies, connections=connections, seconds=seconds, headers=self.headers
        )
        self.found.setdefault(connections, []).append(measured)
        self.cpu_us.append(cpu_us)

    def forget(self) -> None:
        """Drop what was measured so far: it was only to get warm."""
        self.found, self.cpu_us = {}, []

    def rate(self, connections: int) -> float:
        """Return the median of the rounds, requests a second."""
        return float(np.median([measured.rate for measured in self.found[connections]]))

    def took(self, connections: int, quantile: float) -> float:
        """Return the median of the rounds' quantiles, milliseconds."""
        quantiles = [measured.quantile(quantile) for measured in self.found[connections]]
        return float(np.median(quantiles))


def figures(run: Run) -> dict[str, float]:
    """Return requests a second and milliseconds by concurrency, and CPU time a request.

    All servers are up all the time and take turns, round by round: a machine that is busy with
    something else for a while is so for each of them.
    """
    with ExitStack() as stack:
        mock = stack.enter_context(upstream())
        subjects = [Subject("mock", mock, new=False)]
        for embedder in EMBEDDERS:
            run(f"starting the gateway, embedder {embedder}")
            ours = stack.enter_context(service(_config(embedder, mock)))
            subjects.append(Subject(f"gateway_{embedder}_new", ours, new=True))
            subjects.append(Subject(f"gateway_{embedder}_seen", ours, new=False))
        if run.litellm is not None:
            subjects += _theirs(run, run.litellm, mock, stack)
        for subject in subjects:
            subject.load(CONCURRENCY[-1], run.seconds)
            subject.forget()
        for number in range(ROUNDS):
            run(f"the gateway, round {number + 1} of {ROUNDS}")
            for connections, subject in product(CONCURRENCY, subjects):
                subject.load(connections, run.seconds / 2)
    return _named(subjects)


def _theirs(run: Run, command: Path, mock: Server, stack: ExitStack) -> list[Subject]:
    out = []
    for name, (adaptive, no_network) in PEERS.items():
        run(f"starting LiteLLM's proxy: {name}")
        key = f"sk-{secrets.token_hex(24)}"
        config = _litellm_config(mock, key, adaptive=adaptive, no_network=no_network)
        server = stack.enter_context(_litellm(command, config))
        headers = {"Authorization": f"Bearer {key}"}
        out.append(Subject(name, server, new=True, headers=headers))
    return out


def _named(subjects: list[Subject]) -> dict[str, float]:
    out: dict[str, float] = {}
    mock = subjects[0]
    for subject, connections in product(subjects, CONCURRENCY):
        name = subject.name
        out[f"{name}_rps_c{connections}"] = subject.rate(connections)
        for percent in (50, 99):
            took = subject.took(connections, percent / 100)
            if subject is mock:
                out[f"{name}_ms_p{percent}_c{connections}"] = took
            else:
                added = took - mock.took(connections, percent / 100)
                out[f"{name}_added_ms_p{percent}_c{connections}"] = added
    for subject in subjects[1:]:
        out[f"{subject.name}_cpu_us"] = float(np.median(subject.cpu_us))
    names = [subject.name for subject in subjects[1:] if subject.name not in PEERS]
    for peer in [subject.name for subject in subjects if subject.name in PEERS]:
        out |= _ratios(out, names, peer)
    return out


def _ratios(found: Mapping[str, float], names: list[str], peer: str) -> dict[str, float]:
    """Return how many times better than a proxy of LiteLLM's each is, at each concurrency."""
    out = {}
    for name in names:
        cpu = found[f"{peer}_cpu_us"] / found[f"{name}_cpu_us"]
        out[f"{name}_cpu_us_ratio_{peer}"] = cpu
        for connections in CONCURRENCY:
            rate, added = f"rps_c{connections}", f"added_ms_p50_c{connections}"
            out[f"{name}_{rate}_ratio_{peer}"] = found[f"{name}_{rate}"] / found[f"{peer}_{rate}"]
            took = found[f"{peer}_{added}"] / found[f"{name}_{added}"]
            out[f"{name}_{added}_ratio_{peer}"] = took
    return out


def _body(number: int) -> str:
    verb, thing = _VERBS[number % len(_VERBS)], _THINGS[number % len(_THINGS)]
    prompt = f"Please {verb} this {thing} for me, it is number {number} on my desk today."
    return json.dumps({"model": "auto", "messages": [{"role": "user", "content": prompt}]})


def _config(embedder: str, mock: Server) -> str:
    lines = [f'[embedder]\nname = "{embedder}"']
    for name, into, out in _ARMS:
        lines.append(
            f'[[models]]\nname = "{name}"\ninput_usd_per_m = {into}\noutput_usd_per_m = {out}\n'
            f'[[models.endpoints]]\nbase_url = "http://127.0.0.1:{mock.port}/v1"'
        )
    return "\n".join(lines) + "\n"


def _litellm_config(mock: Server, key: str, *, adaptive: bool, no_network: bool) -> dict[str, Any]:
    """Return a configuration of LiteLLM's proxy that answers to the model `auto`."""
    there = {"api_base": f"http://127.0.0.1:{mock.port}/v1", "api_key": "none"}
    names = [name for name, _, _ in _ARMS] if adaptive else ["auto"]
    models: list[dict[str, Any]] = [
        {
            "model_name": name,
            "litellm_params": {"model": "openai/mock", **there},
            "model_info": {
                "input_cost_per_token": 1e-7 * tier,
                "adaptive_router_preferences": {"quality_tier": tier, "strengths": []},
            },
        }
        for tier, name in enumerate(names, start=1)
    ]
    if adaptive:
        chosen = {"available_models": names, "weights": {"quality": 0.7, "cost": 0.3}}
        router = {
            "model": "auto_router/adaptive_router",
            "adaptive_router_default_model": names[0],
            "adaptive_router_config": chosen,
        }
        models.append({"model_name": "auto", "litellm_params": router})
    return {
        "model_list": models,
        "litellm_settings": {"callbacks": [], "num_retries": 0, "network_mock": no_network},
        "general_settings": {"master_key": key},
    }


@contextmanager
def _litellm(command: Path, config: Mapping[str, Any]) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "litellm.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML
        arguments = ["--config", str(file), "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(
            [str(command), *arguments, "--num_workers", "1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
            text=True,
        )
        try:
            _wait_until_alive(port)
            yield Server(port, process)
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_alive(port: int) -> None:
    until = perf_counter() + _STARTS_WITHIN
    while perf_counter() < until:
        try:
            with urlopen(f"http://127.0.0.1:{port}/health/liveliness", timeout=5):
                return
        except (URLError, OSError):
            sleep(0.2)
    raise TimeoutError(f"LiteLLM's proxy did not answer within {_STARTS_WITHIN:g} s")
