"""The command line: the group of all commands; `commands/` holds them."""

from __future__ import annotations

import click

from .commands.bench import bench
from .commands.databases import compact, export, import_, verify, warm_start
from .commands.keys import keys
from .commands.serving import init, route, serve
from .commands.studying import replay, simulate, tune


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="bandit-router")
def main() -> None:
    """An LLM router that learns while it serves."""


<<<<<<< HEAD
for _command in (
    serve,
    init,
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
=======
@main.command(epilog="Example: bandit-router serve --config bandit-router.toml --db router.db")
@CONFIG
@click.option("--host", help="Address to listen on [127.0.0.1].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on [8080].")
@DB
@click.option("--demo", is_flag=True, help="Route a bundled fleet of four models.")
@click.option("--allow-open", is_flag=True, help="Listen beyond loopback without any API key.")
@click.option(
    "--role",
    type=click.Choice(["both", "replica", "learner"]),
    default="both",
    show_default=True,
    help="Over PostgreSQL: answer requests, learn from those of all, or both.",
)
@click.option(
    "--outbox",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Over PostgreSQL: a replica's own file [bandit-router-outbox.db].",
)
@JSON
@_plain_errors
def serve(
    config: Path | None,
    host: str | None,
    port: int | None,
    db: Place | None,
    demo: bool,
    allow_open: bool,
    role: str,
    outbox: Path | None,
    as_json: bool,
) -> None:
    """Run the service until Ctrl-C."""
    from .service import learn, run
    from .store import is_shared

    loaded = _loaded(config)
    if not loaded.models and not demo:
        click.echo(
            "No models yet: add them with POST /models, give --config FILE "
            "(bandit-router init writes one), or try --demo.",
            err=True,
        )
    where = db or ("bandit-router-demo.db" if demo else loaded.settings.store.path)
    if not is_shared(where) and (role != "both" or outbox is not None):
        raise click.UsageError("--role and --outbox need --db postgresql://...")

    def echo(line: str) -> None:
        click.echo(json.dumps({"listening": line.rsplit(" ", 1)[-1]}) if as_json else line)

    if role == "learner":
        click.echo(f"bandit-router learning from {urlsplit(str(where)).hostname}", err=True)
        learn(loaded, db=str(where), demo=demo)
        return
    run(
        loaded,
        db=where,
        demo=demo,
        host=host,
        port=port,
        allow_open=allow_open,
        outbox=outbox,
        learns=role == "both",
        echo=echo,
    )


@main.command(epilog="Example: bandit-router init bandit-router.toml")
@click.argument("file", default="bandit-router.toml", type=click.Path(path_type=Path))
@JSON
@_plain_errors
def init(file: Path, as_json: bool) -> None:
    """Write a commented starter configuration to FILE."""
    from .config import STARTER

    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(STARTER)
    except FileExistsError:
        raise InvalidInput(f"{file} is there already; name another file", "file") from None
    click.echo(json.dumps({"written": str(file)}) if as_json else f"wrote {file}")


@main.command(epilog="Example: bandit-router route 'Prove that 17 is prime.' --db router.db")
@click.argument("prompt")
@DB
@CONFIG
@click.option("--cost-weight", type=click.FloatRange(min=0), help="Trade-off of this decision.")
@JSON
@_plain_errors
def route(
    prompt: str,
    db: Place | None,
    config: Path | None,
    cost_weight: float | None,
    as_json: bool,
) -> None:
    """Decide once for PROMPT and explain it; nothing is written."""
    from .explain import as_data, as_text
    from .types import Request

    with ExitStack() as stack:
        router = _router(db, _loaded(config), stack)
        request = Request(cost_weight=cost_weight)
        decision = router.decide(prompt, request=request, time=max(router.time, time.time()))
    click.echo(json.dumps(as_data(decision)) if as_json else as_text(decision))


def _router(db: Place | None, config: Config, stack: ExitStack) -> Router:
    """The router of a database, or an untaught one over the models of the configuration."""
    from .router import Router
    from .store import is_shared, open_log, restore

    place = db or config.settings.store.path
    if db is not None or is_shared(place) or Path(place).exists():
        return restore(stack.enter_context(closing(open_log(place, readonly=True))))
    if not config.models:
        raise InvalidInput("give --db FILE, or --config FILE with models", "db")
    return Router(config.models, settings=config.settings)


@main.command(
    epilog="Example: bandit-router simulate --table tables/ulab14 "
    "--policy thompson,global-thompson,best-single --seeds 5"
)
@click.option("--table", "tables", callback=_several, required=True, help="Routing table folders.")
@click.option(
    "--policy",
    "policies",
    callback=_several,
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
@_plain_errors
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
    from .config import LLMJudgeSettings, Settings
    from .simulator import simulate as play
    from .simulator import text

    options["settings"] = Settings(llm_judge=LLMJudgeSettings(error_rate=judge_error))
    try:
        weights = [float(weight) for weight in sweep.split(",") if weight.strip()]
    except ValueError:
        raise click.BadParameter(
            f"{sweep!r}: give numbers with commas", param_hint="sweep"
        ) from None
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
    from .simulator.frontier import sweep
    from .simulator.report import write_report

    fixed = {key: value for key, value in options.items() if key not in ("cost_weight", "budget")}
    if options["budget"] is None:
        sweep(result, folders, weights, **fixed)
    write_report(result, out, command=" ".join(map(shlex.quote, ["bandit-router", *sys.argv[1:]])))
    click.echo(f"wrote {out / 'report.html'}", err=True)


@main.command(epilog="Example: bandit-router replay router.db --policy thompson,random")
@click.argument("log", type=click.Path(path_type=Path))
@click.option(
    "--policy",
    "policies",
    callback=_several,
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
@click.option("--embedder", default="minilm", show_default=True, help="For logs without vectors.")
@JSON
@_plain_errors
def replay(log: Path, policies: list[str], as_json: bool, **options: Any) -> None:
    """Estimate from a decision log what other policies would have earned."""
    from .simulator.plain_words import text
    from .simulator.replay import replay as evaluate

    found = evaluate(log, policies, **options)
    click.echo(json.dumps(found, allow_nan=False) if as_json else text(found))


@main.command(
    epilog="Example: bandit-router tune --table tables/ulab14 --trials 30 --out tuned.toml"
)
@click.argument("log", required=False, type=click.Path(path_type=Path))
@click.option("--table", "tables", callback=_several, help="Routing table folders.")
@click.option("--trials", type=click.IntRange(min=1), default=30, show_default=True)
@click.option("--study", help="An Optuna storage URL that several machines share.")
@click.option("--policy", default="thompson", show_default=True, help="Or global-thompson.")
@click.option("--scenario", "scenarios", callback=_several, default="stationary", show_default=True)
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
@_plain_errors
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
    from .simulator.problems import problem_of
    from .simulator.tune import config_text, text
    from .simulator.tune import tune as search

    if (log is None) == (not tables):
        raise click.UsageError("give a LOG or --table DIR, and not both")
    if out.exists():
        raise InvalidInput(f"{out} is there already; name another file", "out")
    problem = problem_of(log, [Path(table) for table in tables], **options)
    found = search(problem, trials=trials, study=study, processes=processes)
    out.write_text(config_text(problem, found), encoding="utf-8")
    click.echo(json.dumps(found | {"written": str(out)}) if as_json else text(found))
    click.echo(f"wrote {out}", err=True)
    if found["interrupted"]:
        sys.exit(1)


@main.command("warm-start", epilog="Example: bandit-router warm-start gateway.jsonl --db router.db")
@click.argument("log", type=click.Path(path_type=Path))
@click.option("--db", type=DATABASE, required=True, help="The database.")
@CONFIG
@JSON
@_plain_errors
def warm_start(log: Path, db: Place, config: Path | None, as_json: bool) -> None:
    """Learn from a decision log before the first request."""
    from .simulator.warm import warm_start as learn

    found = learn(log, db, _loaded(config))
    words = "learnt {decisions:,} decisions, added {models_added} models".format(**found)
    click.echo(json.dumps(found) if as_json else words)


def _new(path: Path, field: str) -> BinaryIO:
    """Open a file that is not there yet."""
    try:
        return path.open("xb")
    except FileExistsError:
        raise InvalidInput(f"{path} is there already", field) from None


@main.command(epilog="Example: bandit-router export --db router.db --map map.html")
@click.option("--db", type=DATABASE, required=True, help="The database.")
@click.option("--backup", type=click.Path(path_type=Path), help="A consistent copy of it.")
@click.option("--events", type=click.Path(path_type=Path), help="Its events, JSONL.")
@click.option("--map", "page", type=click.Path(path_type=Path), help="Its map, one HTML file.")
@click.option(
    "--table",
    type=click.Path(path_type=Path),
    help="A folder: its rated decisions as a routing table, where prompts were kept.",
)
@JSON
@_plain_errors
def export(
    db: Place,
    backup: Path | None,
    events: Path | None,
    page: Path | None,
    table: Path | None,
    as_json: bool,
) -> None:
    """Copy a database, its events or its map out, also beside a running service.

    Overwrites nothing.
    """
    import msgspec

    from .store import EventStore, open_log, restore

    given = [path for path in (backup, events, page, table) if path is not None]
    if len(given) != 1:
        raise click.UsageError("give one of --backup, --events, --map and --table")
    with closing(open_log(db, readonly=True)) as store:
        if backup is not None:
            if not isinstance(store, EventStore):
                raise InvalidInput("a PostgreSQL database is backed up with pg_dump", "backup")
            store.backup(backup)
        elif events is not None:
            with _new(events, "events") as out:
                for event in store.events():
                    out.write(msgspec.json.encode(event) + b"\n")
        elif page is not None:
            from .service.page import saved

            with _new(page, "map") as out:
                out.write(saved.page(restore(store), store).encode())
        elif table is not None:
            from .simulator.table_export import export_table

            export_table(Path(store.path), restore(store).models, table)
    written = str(given[0])
    click.echo(json.dumps({"written": written}) if as_json else f"wrote {written}")


@main.command("import", epilog="Example: bandit-router import events.jsonl --db router.db")
@click.argument("events", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--db", type=DATABASE, required=True, help="The new database.")
@JSON
@_plain_errors
def import_(events: Path, db: Place, as_json: bool) -> None:
    """Write EVENTS, as `export --events` made them, to a new database."""
    from tqdm import tqdm

    from .store import import_events, open_log

    with closing(open_log(db)) as store, events.open("rb") as file:
        bar = tqdm(file, desc="importing", unit="event", file=sys.stderr)
        count = import_events(bar, store)
    click.echo(json.dumps({"events": count}) if as_json else f"imported {count:,} events")


@main.command(epilog="Example: bandit-router verify --db router.db")
@click.option("--db", type=DATABASE, required=True, help="The database.")
@JSON
@_plain_errors
def verify(db: Place, as_json: bool) -> None:
    """Fold the log again, read-only, and compare digests at every snapshot."""
    import msgspec
    from tqdm import tqdm

    from .store import open_log
    from .store import verify as check

    with (
        closing(open_log(db, readonly=True)) as store,
        tqdm(total=store.last_seq(), unit="event", disable=None) as bar,
    ):
        report = check(store, progress=lambda seq: bar.update())
    if as_json:
        click.echo(json.dumps({"agrees": report.agrees} | msgspec.to_builtins(report)))
    else:
        click.echo(report.text())
    sys.exit(0 if report.agrees else 1)


@main.command(epilog="Example: bandit-router compact --db router.db --keep-days 90")
@click.option(
    "--db", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The database."
)
@click.option(
    "--keep-days", type=click.FloatRange(min=0), required=True, help="Older events are folded."
)
@click.option("--archive", type=click.Path(path_type=Path), help="Write them to this Parquet file.")
@JSON
@_plain_errors
def compact(db: Path, keep_days: float, archive: Path | None, as_json: bool) -> None:
    """Fold old events into a checkpoint: what was learnt stays. The service must be stopped."""
    from .store import EventStore, retention

    if not db.exists():
        raise InvalidInput(f"{db}: there is no database: check the path", "db")
    with EventStore.open(db) as store:
        checkpoint = retention.fold_until(store, time.time() - keep_days * 86_400)
        archived = gone = 0
        if checkpoint > store.checkpoint():
            if archive is not None:
                archived = retention.archive(store, checkpoint, archive)
            gone = retention.compact(store, checkpoint)
            store.vacuum()
        found = {"checkpoint": store.checkpoint(), "dropped": gone, "archived": archived}
    words = "dropped {dropped:,} events; the log now starts after event {checkpoint:,}"
    click.echo(json.dumps(found) if as_json else words.format(**found))


@main.group(epilog="Example: bandit-router keys add app --db router.db")
def keys() -> None:
    """API keys: once there is one, every request needs one."""


KEYS_DB = click.option("--db", type=DATABASE, required=True, help="The database.")


@keys.command("add", epilog="Example: bandit-router keys add app --db router.db --usd-per-day 5")
@click.argument("name")
@KEYS_DB
@click.option(
    "--scopes",
    callback=_several,
    default="route,feedback",
    show_default=True,
    help="What it may do: route, feedback, metrics, admin.",
)
@click.option("--requests-per-minute", type=float, help="More are refused (429).")
@click.option("--usd-per-day", type=float, help="Spread over the day (UTC); then refused (429).")
@click.option("--usd-total", type=float, help="Then refused (403).")
@click.option("--no-pacing", is_flag=True, help="Only refuse beyond --usd-per-day.")
@JSON
@_plain_errors
def add_key(
    name: str,
    db: Place,
    scopes: list[str],
    no_pacing: bool,
    as_json: bool,
    **limits: float | None,
) -> None:
    """Make a key and print it, once: only its hash is kept. A running service takes it at once."""
    from .store import open_keys

    with open_keys(db) as store:
        key, text = store.add(name, scopes, paced=not no_pacing, **limits)
    click.echo(json.dumps({"key": text, **_public(key)}) if as_json else text)


@keys.command("list", epilog="Example: bandit-router keys list --db router.db")
@KEYS_DB
@JSON
@_plain_errors
def list_keys(db: Place, as_json: bool) -> None:
    """List the keys, the revoked too; none of them can be read again."""
    from .store import open_keys

    with open_keys(db) as store:
        found = [_public(key) for key in store.all()]
    if as_json:
        click.echo(json.dumps({"keys": found}))
        return
    for key in found:
        state = "revoked" if key["revoked"] else "in use"
        click.echo(f"{key['id']}  {state:8}  {','.join(key['scopes']):20}  {key['name']}")


@keys.command("revoke", epilog="Example: bandit-router keys revoke app --db router.db")
@click.argument("which")
@KEYS_DB
@JSON
@_plain_errors
def revoke_key(which: str, db: Place, as_json: bool) -> None:
    """Revoke the key of this id or name; a running service refuses it within a second."""
    from .store import open_keys

    with open_keys(db) as store:
        key = store.revoke(which)
    click.echo(json.dumps(_public(key)) if as_json else f"revoked {key.name} ({key.id})")


def _public(key: ApiKey) -> dict[str, Any]:
    """Return what may be shown of a key."""
    import msgspec

    shown: dict[str, Any] = msgspec.to_builtins(key)
    del shown["hash"]
    return shown


@main.command(epilog="Example: bandit-router bench --suite core,http --history bench.jsonl")
@click.option("--suite", "suites", callback=_several, help="Which to run [all].")
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="Of each load [3].")
@click.option("--steps", type=click.IntRange(min=10), help="Of each operation timed [3000].")
@click.option("--events", type=click.IntRange(min=1000), help="Of the log restored [20000].")
@click.option(
    "--history", type=click.Path(path_type=Path), help="Keep runs here; say what changed."
)
@click.option("--profile", type=click.Path(path_type=Path), help="A folder for cProfile's files.")
@click.option(
    "--litellm",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="LiteLLM's command elsewhere: its proxy is measured beside our gateway.",
)
@JSON
@_plain_errors
def bench(
    suites: list[str], history: Path | None, profile: Path | None, as_json: bool, **much: Any
) -> None:
    """Measure how fast it is here: figures, and ratios within the same run."""
    # Before numpy is loaded: more threads only get in each other's way on such small products.
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")
    from .bench import SUITES, Run, hot_spots, run, text
    from .bench.history import keep, last

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
>>>>>>> 8c43556 (Simulations over a Ray cluster, logs replayed in parts, manifests for Kubernetes; machines behind HAProxy are cut off)
