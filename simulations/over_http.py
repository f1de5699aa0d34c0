"""The main job on real input: a table's prompts over HTTP, their real outcomes as feedback.

    python -m simulations.over_http tables/ulab14 --prompts 1000

Starts the service as a user would, sends each prompt to `/route` and the outcome of the chosen
model to `/feedback`, then compares the posteriors that `/clusters` shows with the table's true
means over the very prompts that fell into each region. Writes ``over_http.json``. One client asks
and answers in turn, so that the figures do not depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bandit_router.simulator import RoutingTable, read_table

from .harness import RESULTS, keep


class Service:
    """A service of its own, on a free port."""

    def __init__(self, folder: Path, table: RoutingTable) -> None:
        config = folder / "config.toml"
        config.write_text(
            "\n".join(f"[[models]]\nname = {json.dumps(m)}" for m in table.names), encoding="utf-8"
        )
        command = [sys.executable, "-m", "bandit_router", "serve", "--port", "0"]
        command += ["--config", str(config), "--db", str(folder / "router.db"), "--json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._url = json.loads(self._process.stdout.readline())["listening"]

    def wait(self) -> None:
        """Wait until the encoder is warm."""
        while True:
            try:
                self.call("/readyz")
            except urllib.error.HTTPError:
                time.sleep(0.2)
            else:
                return

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Ask, with a body or without."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        with urllib.request.urlopen(
            urllib.request.Request(self._url + path, data, headers)
        ) as answer:
            return json.load(answer)

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        self._process.terminate()
        self._process.wait()


def main() -> None:
    """Play and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--prompts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS, help="a folder [simulations/results]")
    args = parser.parse_args()
    table = read_table(args.table)
    order = np.random.default_rng(args.seed).permutation(len(table.prompts))[: args.prompts]
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder), table)
        try:
            service.wait()
            rewards, regions = play(service, table, order.tolist())
            clusters = service.call("/clusters")["clusters"]
        finally:
            service.stop()
    result = {"seed": args.seed} | compare(table, order.tolist(), rewards, regions, clusters)
    keep(args.out, "over_http", result)
    print(json.dumps(result, indent=1))


def play(
    service: Service, table: RoutingTable, order: list[int]
) -> tuple[list[float], dict[int, list[int]]]:
    """Route every prompt, feed its outcome back; return rewards and the rows of each region."""
    rewards: list[float] = []
    regions: dict[int, list[int]] = defaultdict(list)
    for row in tqdm(order, unit="prompt"):
        answered = ~np.isnan(table.quality[row])
        names = [name for name, ok in zip(table.names, answered, strict=True) if ok]
        found = service.call("/route", {"prompt": table.prompts[row], "models": names})
        reward = float(table.quality[row, table.names.index(found["model"])])
        service.call("/feedback", {"decision_id": found["decision_id"], "reward": reward})
        path = service.call(f"/decisions/{found['decision_id']}")["path"]
        rewards.append(reward)
        regions[path[0]].append(row)
    return rewards, regions


def compare(
    table: RoutingTable,
    order: list[int],
    rewards: list[float],
    regions: dict[int, list[int]],
    clusters: list[dict[str, Any]],
) -> dict[str, Any]:
    """Compare posteriors with the true means of the prompts that fell into each region."""
    shown = {c["id"]: c for c in clusters if c["level"] == 0}
    cells = []
    best_regret, prompts = 0.0, 0
    for region, rows in regions.items():
        truth = np.nanmean(table.quality[rows], axis=0)
        arms = {arm["model"]: arm for arm in shown[region]["arms"]}
        best_regret += len(rows) * (truth.max() - truth[table.names.index(shown[region]["best"])])
        prompts += len(rows)
        for name, mean in zip(table.names, truth, strict=True):
            arm = arms[name]
            low, high = arm["quality_interval"]
            error = abs(arm["quality"] - mean)
            cells.append((arm["evidence"], error, low <= mean <= high, len(rows)))
    evidence, error, inside, size = (
        np.array(column, dtype=float) for column in zip(*cells, strict=True)
    )
    half = len(rewards) // 2
    return {
        "table": table.name,
        "prompts": len(order),
        "quality": float(np.mean(rewards)),
        "quality_second_half": float(np.mean(rewards[half:])),
        "random_on_these_prompts": float(np.nanmean(table.quality[order])),
        "best_single_on_these_prompts": float(np.nanmean(table.quality[order], axis=0).max()),
        "regions": len(regions),
        "clusters": len(clusters),
        "error_weighted_by_evidence": float((evidence * error).sum() / evidence.sum()),
        "error_weighted_by_prompts": float((size * error).sum() / size.sum()),
        "interval_holds_truth": float((size * inside).sum() / size.sum()),
        "regret_of_the_arm_shown_as_best": float(best_regret / prompts),
    }


if __name__ == "__main__":
    main()
