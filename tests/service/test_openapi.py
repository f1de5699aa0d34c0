"""The document says what the router does, no more and no less."""

from __future__ import annotations

import json

import pytest

from bandit_router.config import Config
from bandit_router.service import create_app
from bandit_router.service.app import OPERATIONS
from bandit_router.service.keys import OPENAPI

PAGES = ("/map", "/events", "/favicon.ico", "/docs")


@pytest.fixture
def app(db):
    return create_app(Config(), db=db)


def test_every_route_is_described_and_the_other_way_round(app):
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.method != "HEAD" and not route.resource.canonical.startswith(PAGES)
    }
    described = {
        (method, path) for path, methods in app[OPENAPI]["paths"].items() for method in methods
    }
    assert routes == described


def test_every_reference_leads_somewhere(app):
    document = app[OPENAPI]
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references
    for reference in references:
        here = document
        for part in reference.removeprefix("#/").split("/"):
            here = here[part]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda o: f"{o.method} {o.path}")
def test_every_status_is_declared_with_its_body(app, operation):
    described = app[OPENAPI]["paths"][operation.template][operation.method.lower()]
    statuses = {int(status) for status in described["responses"]}
    assert operation.status in statuses
    assert 405 in statuses
    if operation.body:
        assert {400, 413, 415, 422} <= statuses
    if "{" in operation.path:
        assert 404 in statuses
    for status, response in described["responses"].items():
        schema = response["content"]["application/json"]["schema"]
        if int(status) >= 400:
            assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}


def test_identifiers_are_unique(app):
    ids = [
        operation["operationId"]
        for methods in app[OPENAPI]["paths"].values()
        for operation in methods.values()
    ]
    assert len(ids) == len(set(ids))


async def test_the_api_is_described_on_a_page(client):
    document = await (await client.get("/openapi.json")).json()
    answer = await client.get("/docs")
    assert (answer.status, answer.content_type) == (200, "text/html")
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    page = await answer.text()
    for path, methods in document["paths"].items():
        for method in methods:
            assert f"<code>{method.upper()} {path}</code>" in page
    for name in document["components"]["schemas"]:
        assert f'id="{name}"' in page
