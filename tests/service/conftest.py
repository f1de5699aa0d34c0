"""A service over real HTTP on loopback, on a real database."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from bandit_router.config import Config, parse_config
from bandit_router.service import create_app
from bandit_router.service.app import SERVER
from bandit_router.service.keys import ENGINE

MODELS = [
    {"name": "small", "input_usd_per_m": 0.1, "output_usd_per_m": 0.4, "supports": ["json"]},
    {"name": "vendor/large v2", "input_usd_per_m": 2.0, "output_usd_per_m": 8.0},
]

Start = Callable[..., Awaitable[TestClient[Any, Any]]]


def config(**tables: Any) -> Config:
    return parse_config({"models": MODELS, **tables})


def state(client: TestClient[Any, Any]) -> tuple[int, bytes]:
    """Length of the log on disk, and the whole state of the router."""
    engine = client.app[ENGINE]
    return engine.store.last_seq(), engine.router.snapshot()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "events.db"


@pytest.fixture
def start(aiohttp_client: Any, db: Path, embedder: Any) -> Start:
    """Start a service; by default with two models, on the test's database, ready."""

    async def start(
        settings: Config | None = None, *, ready: bool = True, **options: Any
    ) -> TestClient[Any, Any]:
        options = {"db": db, "embedder": embedder, **options}
        app = create_app(settings or config(), **options)
        server = TestServer(app)
        await server.start_server(**SERVER)
        client = await aiohttp_client(server)
        if ready:
            await client.app[ENGINE].wait()
        return client

    return start


@pytest.fixture
async def client(start: Start) -> TestClient[Any, Any]:
    return await start()
