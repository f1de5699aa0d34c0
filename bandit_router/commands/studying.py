"""Commands that compare: simulate, replay, tune."""

from __future__ import annotations

import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ..exceptions import InvalidInput
from .options import JSON, plain_errors, several


@click.command(
    epilog="Example: bandit-router simulate --table tables/ulab14 "
    "--policy thompson,global-thompson,best-single --seeds 5"
)
@click.option("--table", "tables", callback=several, required=True, help="Routing table folders.")
@click.option(
    "--policy",
    "policies",
    callback=several,
    default="thompson,global-thompson,best-single,task-oracle",
    show_default=True,
    help="What to play.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Length of the stream [one pass].")
@click.option("--seeds", type=click.IntRange(min=1), default=5, show_default=True)
@click.option("--cost-weight", type=click.FloatRange(min=0), default=0.0, show_default=True)
@click.option("--models", default="all", show_default=True, help="core, all, or names.")
@click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    help="Mean ceiling per request, US dollars; the pacer alone sets the cost weight.",
)
@click.option(
    "--train",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Labelled prompts for forest and kmeans, left out of everyone's stream.",
)
@click.option(
    "--scenario", default="stationary", show_default=True, help="One, or several: degrade+delay."
)
@click.option("--embedder", default="minilm", show_default=True)
@click.option(
    "--judge-error",
    type=click.FloatRange(0, 1),
    default=0.3,
    show_default=True,
    help="How often the simulated judge of llm-judge is wrong.",
)
@click.option(
    "--engine",
    type=click.Choice(["processes", "ray"]),
    default="processes",
    show_default=True,
    help="Where to play: this machine's cores, or a Ray cluster (extra `ray`).",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Writes report.html, figures (PNG, SVG) and result.json to this folder.",
)
@click.option(
    "--sweep",
    default="0,0.03,0.1,0.3,1",
    show_default=True,
    help="Cost weights of the report's cost-quality frontier; '' for none.",
)
@JSON
@plain_errors
def simulate(
    as_json: bool,
    tables: list[str],
    policies: list[str],
    judge_error: float,
    out: Path | None,
    sweep: str,
    **options: Any,
) -> None:
    """Play policies over routing tables and compare them."""
    from ..config import LLMJudgeSettings, Settings
    from ..simulator import simulate as play
    from ..simulator import text

    options["settings"] = Settings(llm_judge=LLMJudgeSettings(error_rate=judge_error))
    try:
        weights = [float(weight) for weight in sweep.split(",") if weight.strip()]
    except ValueError:
        weights = [math.nan]
    if not all(0 <= weight < math.inf for weight in weights):
        raise click.BadParameter(
            f"{sweep!r}: give numbers of at least 0 with commas", param_hint="sweep"
        )
    if out is not None:
        from ..simulator.report import check_folder

        check_folder(out)
    folders = [Path(t) for t in tables]
    result = play(tables=folders, policies=policies, **options)
    if out is not None:
        _report(result, folders, weights, out, **options)
    click.echo(json.dumps(result, allow_nan=False) if as_json else text(result))
    if result.get("interrupted"):
        sys.exit(1)


def _report(
    result: dict[str, Any], folders: list[Path], weights: list[float], out: Path, **options: Any
) -> None:
    from ..simulator.frontier import sweep
    from ..simulator.report import write_report

    fixed = {key: value for key, value in options.items() if key not in ("cost_weight", "budget")}
    if options["budget"] is None:
        sweep(result, folders, weights, **fixed)
    write_report(result, out, command=" ".join(map(shlex.quote, ["bandit-router", *sys.argv[1:]])))
    click.echo(f"wrote {out / 'report.html'}", err=True)


@click.command(epilog="Example: bandit-router replay router.db --policy thompson,random")
@click.argument("log", type=click.Path(path_type=Path))
@click.option(
    "--policy",
    "policies",
    callback=several,
    default="thompson,global-thompson,random",
    show_default=True,
    help="What to evaluate.",
)
@click.option(
    "--clip",
    default="none",
    show_default=True,
    help="Large importance weights: none, auto, a cap, switch:NUMBER or shrink:NUMBER.",
)
@click.option(
    "--interval",
    type=click.Choice(["normal", "bootstrap", "bernstein"]),
    default="normal",
    show_default=True,
)
@click.option(
    "--cost-weight",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Values are reward - weight * cost / cost of the best model.",
)
@click.option(
    "--reward-model",
    type=click.Choice(["posterior", "means"]),
    default="posterior",
    show_default=True,
    help="Of dm and dr: ours, which learns row by row, or each model's running mean.",
)
@click.option("--embedder", default="minilm", show_default=True, help="For logs without vectors.")
@JSON
@plain_errors
def replay(log: Path, policies: list[str], as_json: bool, **options: Any) -> None:
    """Estimate from a decision log what other policies would have earned."""
    from ..simulator.plain_words import text
    from ..simulator.replay import replay as evaluate

    found = evaluate(log, policies, **options)
    click.echo(json.dumps(found, allow_nan=False) if as_json else text(found))


@click.command(
    epilog="Example: bandit-router tune --table tables/ulab14 --trials 30 --out tuned.toml"
)
@click.argument("log", required=False, type=click.Path(path_type=Path))
@click.option("--table", "tables", callback=several, help="Routing table folders.")
@click.option("--trials", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--study", help="An Optuna storage URL that several machines share.")
@click.option("--policy", default="thompson", show_default=True, help="Or global-thompson.")
@click.option("--scenario", "scenarios", callback=several, default="stationary", show_default=True)
@click.option("--models", default="all", show_default=True, help="core, all, or names.")
@click.option("--steps", type=click.IntRange(min=1), help="Length of a stream [at most 2,000].")
@click.option("--seeds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--cost-weight", type=click.FloatRange(min=0), default=0.0, show_default=True)
@click.option(
    "--max-cost",
    type=click.FloatRange(min=0, min_open=True),
    help="Mean US dollars a request not to be exceeded: the cost weight is searched, too.",
)
@click.option("--embedder", default="minilm", show_default=True)
@click.option("--processes", type=click.IntRange(min=1), help="Trials at once [one a core].")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default="bandit-router-tuned.toml",
    show_default=True,
    help="The configuration to write.",
)
@JSON
@plain_errors
def tune(
    log: Path | None,
    tables: list[str],
    trials: int,
    study: str | None,
    processes: int | None,
    out: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Search how to explore on a decision LOG or on tables, and write the configuration."""
    from ..simulator.problems import problem_of
    from ..simulator.tune import config_text, text
    from ..simulator.tune import tune as search

    if (log is None) == (not tables):
        raise click.UsageError("give a LOG or --table DIR, and not both")
    if out.exists():
        raise InvalidInput(f"{out} is there already; name another file", "out")
    if not out.parent.is_dir():
        raise InvalidInput(f"{out.parent} is no folder; name another file", "out")
    problem = problem_of(log, [Path(table) for table in tables], **options)
    found = search(problem, trials=trials, study=study, processes=processes)
    out.write_text(config_text(problem, found), encoding="utf-8")
    click.echo(json.dumps(found | {"written": str(out)}) if as_json else text(found))
    click.echo(f"wrote {out}", err=True)
    if found["interrupted"]:
        sys.exit(1)
