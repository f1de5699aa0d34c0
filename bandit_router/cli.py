"""The command line: the group of all commands; `commands/` holds them."""

from __future__ import annotations

import click

from .commands.bench import bench
from .commands.databases import compact, export, import_, verify, warm_start
from .commands.keys import keys
from .commands.serving import init, precompile, route, serve
from .commands.studying import replay, simulate, tune


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bandit-router")
def main() -> None:
    """An LLM router that learns while it serves."""


for _command in (
    serve,
    init,
    precompile,
    route,
    simulate,
    replay,
    tune,
    warm_start,
    export,
    import_,
    verify,
    compact,
    keys,
    bench,
):
    main.add_command(_command)
