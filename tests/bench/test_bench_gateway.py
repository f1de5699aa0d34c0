"""The gateway's benchmark runs and names its figures; how large they are no test says."""

from __future__ import annotations

import json
import math

import pytest
from click.testing import CliRunner

from bandit_router.bench import gateway
from bandit_router.cli import main


def test_it_measures_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "EMBEDDERS", ("static",))
    monkeypatch.setattr(gateway, "ROUNDS", 1)
    arguments = ["bench", "--json", "--suite", "gateway", "--seconds", "0.2"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert all(isinstance(v, float) and math.isfinite(v) for v in figures.values())
    for name in ("mock", "gateway_static_new", "gateway_static_seen"):
        assert figures[f"{name}_rps_c16"] > 0
    assert "gateway_static_new_added_ms_p50_c1" in figures
    assert "litellm_rps_c16" not in figures
