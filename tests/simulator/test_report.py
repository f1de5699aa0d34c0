"""The report is one page that needs no network, and figures that say what was played."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bandit_router.cli import main
from bandit_router.simulator import plots, simulate
from bandit_router.simulator.frontier import sweep
from bandit_router.simulator.report import summary_sentence, write_report

QUICK = {"progress": False, "processes": 1}


def test_out_writes_a_page_figures_and_the_raw_json(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    arguments = ["simulate", "--table", str(folder), "--policy", "global-thompson,best-single"]
    arguments += ["--steps", "60", "--seeds", "1", "--sweep", "0,0.3", "--cost-weight", "0.1"]
    result = CliRunner().invoke(main, [*arguments, "--out", str(out), "--json"])
    assert result.exit_code == 0, result.stderr
    raw = json.loads((out / "result.json").read_text())
    assert raw == json.loads(result.stdout)
    points = raw["tables"][0]["frontier"]["policies"]["global-thompson"]
    assert [point["cost_weight"] for point in points] == [0.0, 0.1, 0.3]
    page = (out / "report.html").read_text()
    assert not re.findall(r"(?:src|href)=.(?!data:)", page)
    assert "<script" not in page
    assert page.count("<figure>") == 4
    for kind in ("learning", "regret", "shares", "frontier"):
        (png,) = out.glob(f"*-{kind}.png")
        assert png.read_bytes().startswith(b"\x89PNG")
        (svg,) = out.glob(f"*-{kind}.svg")
        assert "<svg" in svg.read_text()


def test_what_is_in_the_way_of_a_report_is_told_at_once(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = ["simulate", "--table", str(folder), "--seeds", "1000000"]
    for more in (["--out", str(tmp_path / "file" / "report")], ["--out", "r", "--sweep", "0,-1"]):
        result = CliRunner().invoke(main, [*arguments, *more])
        assert result.exit_code in (1, 2)
        assert "playing" not in result.stderr


def test_an_interrupt_before_the_first_run_leaves_a_page_without_figures(tmp_path: Path) -> None:
    table = {"table": "t", "prompts": 2, "models": ["a"], "steps": 2, "seeds": 2, "policies": {}}
    table |= {"cost_weight": 0.0, "scenario": "stationary", "embedder": "none"}
    written = write_report({"tables": [table], "interrupted": True}, tmp_path)
    assert written == ["result.json", "report.html"]
    assert "Interrupted" in (tmp_path / "report.html").read_text()


def test_names_are_shown_and_cannot_break_the_page(tmp_path: Path) -> None:
    odd = "a $b$ <script>/c"
    prompts = [json.dumps({"id": str(i), "prompt": f"p {i}"}) for i in range(20)]
    rows = [f'{i},"{name}",{q},0' for i in range(20) for name, q in ((odd, 1), ("d", 0))]
    (tmp_path / "prompts.jsonl").write_text("\n".join(prompts))
    (tmp_path / "outcomes.csv").write_text("\n".join(["id,model,quality,cost_usd", *rows]))
    name = f"fixed:{odd}"
    result = simulate([tmp_path], [name, "random"], seeds=1, **QUICK)
    sweep(result, [tmp_path], [0.5], seeds=1, **QUICK)
    write_report(result, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "fixed:a $b$ &lt;script&gt;/c" in page
    assert "one seed, which proves nothing" in page


def test_regions_are_drawn_from_what_the_summary_says() -> None:
    region = {"cluster": 3, "prompts": 9, "task": "maths", "task_share": 0.9}
    region |= {"utility": {"a": 0.5, "b": None}, "share": {"a": 0.8, "b": 0.2}}
    table = {
        "table": "t",
        "models": ["a", "b"],
        "policies": {"thompson": {"clusters": [region, region | {"cluster": 4}]}},
    }
    figure = plots.regions(table, "thompson")
    shown = figure.axes[1].images[0].get_array()
    assert shown is not None
    assert np.asarray(shown).tolist() == [[0.8, 0.2], [0.8, 0.2]]
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == [
        "3: maths 90%",
        "4: maths 90%",
    ]


def test_of_many_models_those_that_matter_are_named() -> None:
    models = {f"m{i}": {"cost_usd": 1.0 + i, "quality": 0.5} for i in range(200)}
    models["型"] = {"cost_usd": 2.5, "quality": 0.9}
    utility = {name: m["quality"] for name, m in models.items()}
    region = {"cluster": 1, "prompts": 9, "task": "x", "task_share": 1.0, "utility": utility}
    region["share"] = dict.fromkeys(models, 0.0) | {"m7": 1.0}
    table = {"table": "t", "models": list(models), "policies": {"p": {"clusters": [region]}}}
    table["frontier"] = {"models": models, "policies": {}}
    named = {text.get_text() for text in plots.frontier(table).axes[0].texts}
    assert named == {"m0", "型"}
    shown = [tick.get_text() for tick in plots.regions(table, "p").axes[0].get_xticklabels()]
    assert len(shown) == 20
    assert {"m7", "型"} <= set(shown)


def test_the_same_numbers_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    (table,) = simulate([folder], ["random"], seeds=2, steps=60, **QUICK)["tables"]
    for name in ("one", "two"):
        plots.save(plots.learning_curves(table), tmp_path / name)
    for kind in ("png", "svg"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [([0.6, 0.7, 0.8], [0.5, 0.6, 0.7], "+0.1000 over b"), ([0.6, 0.4], [0.4, 0.6], "luck")],
)
def test_the_lead_is_told_with_its_doubt(first: list, second: list, said: str) -> None:
    policies = {
        name: {"utility": float(np.mean(by_seed)), "utility_by_seed": by_seed}
        for name, by_seed in (("a", first), ("b", second))
    }
    assert said in summary_sentence({"policies": policies})
