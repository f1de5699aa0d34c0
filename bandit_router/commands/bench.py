"""The command that measures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from .options import JSON, plain_errors, several


@click.command(epilog="Example: bandit-router bench --suite core,http --history bench.jsonl")
@click.option("--suite", "suites", callback=several, help="Which to run [all].")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Of each load [3].")
@click.option("--steps", type=click.IntRange(min=10), help="Of each operation timed [3000].")
@click.option("--events", type=click.IntRange(min=1000), help="Of the log restored [20000].")
@click.option(
    "--history",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Keep runs here; say what changed.",
)
@click.option(
    "--profile",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for cProfile's files.",
)
@click.option(
    "--litellm",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="LiteLLM's command elsewhere: its proxy is measured beside our gateway.",
)
@JSON
@plain_errors
def bench(
    suites: list[str], history: Path | None, profile: Path | None, as_json: bool, **much: Any
) -> None:
    """Measure how fast it is here: figures, and ratios within the same run."""
    # Before numpy is loaded: more threads only get in each other's way on such small products.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    from ..bench import SUITES, Run, hot_spots, run, text
    from ..bench.history import keep, last

    for name in suites:
        if name not in SUITES:
            known = ", ".join(SUITES)
            raise click.BadParameter(f"{name!r} is no suite; there are: {known}")
    before = last(history) if history else None
    if profile is not None:
        profile.mkdir(parents=True, exist_ok=True)
    given = {name: value for name, value in much.items() if value is not None}
    figures = run(suites, Run(lambda what: click.echo(what, err=True), profile=profile, **given))
    if history is not None:
        keep(history, figures)
    click.echo(json.dumps(figures) if as_json else text(figures, before))
    for file in sorted(profile.glob("*.prof")) if profile else []:
        click.echo(f"\n{file}\n{hot_spots(file)}", err=True)
