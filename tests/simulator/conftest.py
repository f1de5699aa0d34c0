"""What the simulator's tests share."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

ARMS = ("good", "cheap", "expert in y")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """200 prompts of two tasks; one arm is good at x, another at y only."""
    rng = np.random.default_rng(0)
    prompts, outcomes = [], ["id,model,quality,cost_usd"]
    for i in range(200):
        task = "xy"[i % 2]
        prompts.append(json.dumps({"id": f"p{i}", "prompt": f"{task} {i}", "task": task}))
        chance = {"good": 0.8, "cheap": 0.5, "expert in y": 0.95 if task == "y" else 0.1}
        for arm, cost in zip(ARMS, (0.01, 0.001, 0.02), strict=True):
            if arm == "cheap" and i % 10 == 0:
                continue
            outcomes.append(f"p{i},{arm},{float(rng.random() < chance[arm])},{cost}")
    (tmp_path / "prompts.jsonl").write_text("\n".join(prompts))
    (tmp_path / "outcomes.csv").write_text("\n".join(outcomes))
    return tmp_path
