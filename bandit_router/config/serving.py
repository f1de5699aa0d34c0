"""Tables about running the service: where it listens, embeds and keeps, and who may call."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from .kinds import Count, NonNegative, Positive, Table


class ServerSettings(Table, frozen=True):
    """`[server]`: where to listen, what to refuse, and how long to wait.

    `upstream_timeout_s` is how many seconds an endpoint may be silent, `deadline_s` how many a
    whole answer may take, retries and failovers included.

    `event_loop` is uvloop where that is installed (`auto`), which answers faster than asyncio's.

    `log_format` and `log_level` are those of standard error: from ``info`` on every request is a
    line with the id of its decision.

    More than `max_connections` at once are turned away (503), and so are requests while
    `max_requests` are being answered. A body has to arrive within `body_timeout_s` (else 408), a
    connection without a request is closed after `idle_timeout_s`. Told to stop, the service takes
    no more requests and gives those under way `shutdown_s` to end.

    `cors_origins` are the web sites whose pages may call the service from a browser, such as
    ``"https://app.example.com"``; none by default.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8080
    event_loop: Literal["auto", "asyncio", "uvloop"] = "auto"
    max_prompt_chars: Count = 200_000
    max_body_bytes: Count = 8_000_000
    upstream_timeout_s: Positive = 60.0
    deadline_s: Positive = 600.0
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    cors_origins: tuple[str, ...] = ()
    max_connections: Count = 2_000
    max_requests: Count = 1_000
    body_timeout_s: Positive = 30.0
    idle_timeout_s: Positive = 75.0
    shutdown_s: NonNegative = 10.0


class EmbedderSettings(Table, frozen=True):
    """`[embedder]`: what turns prompts into vectors.

    `name` is `minilm` (packaged), `static` (packaged: no neural network, no torch), any
    sentence-transformers name or folder, `openai:MODEL` (an OpenAI-compatible endpoint for
    embeddings at `base_url`), or `none`: the caller brings vectors of its own. `backend` runs
    `minilm` by sentence-transformers (`torch`) or by ONNX Runtime in 8-bit integers (`onnx`);
    `auto` takes the latter where it is installed. `threads` is how many an encoder may use.
    The service keeps the vectors of the last `cache_size` different prompts. `api_key_env` names
    the variable that holds the endpoint's key; `timeout_s` is how long it may take.
    """

    name: str = "minilm"
    backend: Literal["auto", "torch", "onnx"] = "auto"
    batch_size: Count = 64
    threads: Count | None = None
    cache_size: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    base_url: str = "https://api.openai.com/v1"
    api_key_env: str = "OPENAI_API_KEY"
    timeout_s: Positive = 10.0


class StoreSettings(Table, frozen=True):
    """`[store]`: the database, what of a prompt is kept in it, and for how long.

    `path` is a file, or the URL of a PostgreSQL database that many processes share. Of a file, the
    disk is flushed before feedback and changes are answered, so that they survive a power failure;
    with `flush_decisions` before decisions too, which else do a second later, or with what is said
    of them.
    With `keep_prompts` the text of a prompt is kept for `prompt_days`, else only its length and
    hash. Events older than `keep_days` fold into a checkpoint, which keeps what was learnt; with
    `archive`, a folder (not over PostgreSQL), they are written there as Parquet first. `redact`
    names a Python function ``"package.module:function"``, text to text, that every prompt goes
    through before anything of it is embedded, hashed, kept, or sent to a judge.
    """

    path: str = "bandit-router.db"
    flush_decisions: bool = False
    snapshot_every: Count = 5_000
    keep_prompts: bool = False
    prompt_days: Positive | None = None
    keep_days: Positive | None = None
    archive: str | None = None
    redact: str | None = None


class KeysSettings(Table, frozen=True):
    """`[keys]`: how API keys are asked for; the keys themselves are in the database.

    Without any key the service listens on loopback only, unless `allow_open`.
    `signing_secret_env` names the environment variable that holds the secret (32 characters or
    more) with which feedback links are signed; they hold for `link_days`. `requests_per_minute`
    is the limit of a key that has none of its own.
    """

    allow_open: bool = False
    requests_per_minute: Positive | None = None
    signing_secret_env: str | None = None
    link_days: Positive = 30.0
