"""``GET/POST /keys`` and ``DELETE /keys/{id}``: API keys beside the command line's."""

from __future__ import annotations

import logging
import time

import msgspec
from aiohttp import web

from ..accounts import Accounts
from ..exceptions import InvalidInput
from ..store.keys import ApiKey, Keys, plain
from . import body
from .access import caller
from .errors import Refused
from .keys import ENGINE
from .openapi import Link, Operation
from .wire import KeyAnswer, KeyMade, KeyRequest, KeysAnswer

log = logging.getLogger(__name__)

CONFIRM = "every request needs a key"
"""What has to be said to make the first key: it shuts the door on whoever has none."""


async def api_keys(request: web.Request) -> web.Response:
    """Return every API key, the revoked too; none of them can be read again."""
    engine = request.app[ENGINE]
    accounts = (await engine.wait()).accounts
    found = [_answer(key, accounts) for key in engine.keyring.keys().values()]
    return body.answer(KeysAnswer(keys=found))


async def add_api_key(request: web.Request) -> web.Response:
    """Make an API key; the answer holds it, and nobody can ask for it again."""
    asked = await body.read(request, KeyRequest)
    engine = request.app[ENGINE]

    def make(keys: Keys) -> tuple[ApiKey, str]:
        return keys.add(
            asked.name,
            asked.scopes,
            requests_per_minute=asked.requests_per_minute,
            usd_per_day=asked.usd_per_day,
            usd_total=asked.usd_total,
            paced=asked.paced,
        )

    key, text = await engine.keyring.alter(make, lambda: _check(request, asked))
    log.info("API key %s (%r) was made by %s", key.id, key.name, caller(request) or "nobody's key")
    shown = msgspec.structs.asdict(_answer(key, (await engine.wait()).accounts))
    return body.answer(KeyMade(key=text, **shown), status=201)


async def revoke_api_key(request: web.Request) -> web.Response:
    """Revoke an API key, by its id: from now on it opens nothing."""
    id_ = body.path_text(request, "id")
    engine = request.app[ENGINE]

    def check() -> None:
        key = engine.keyring.keys().get(id_)
        if key is None or key.revoked is not None:
            raise Refused(404, f"no API key {id_!r} is in use: GET /keys lists them", "id")
        if id_ == caller(request):
            raise Refused(
                409,
                "this request is made with that very key: revoke it with another, or on the "
                "command line (bandit-router keys revoke)",
                "id",
            )

    key = await engine.keyring.alter(lambda keys: keys.revoke(id_), check)
    log.info("API key %s (%r) was revoked by %s", key.id, key.name, caller(request))
    return body.answer(_answer(key, (await engine.wait()).accounts))


def _check(request: web.Request, asked: KeyRequest) -> None:
    """Refuse a name that is taken, and a first key that would shut its maker out."""
    keyring = request.app[ENGINE].keyring
    if caller(request) is None:
        keyring.admit(request, ("admin",))  # another may have made the first key meanwhile
    known = keyring.keys().values()
    if any(key.name == plain(asked.name) and key.revoked is None for key in known):
        raise Refused(409, f"there is an API key {asked.name!r} already: revoke it first", "name")
    if known:
        return
    if "admin" not in asked.scopes:
        raise InvalidInput(
            "scopes: the first key needs scope admin: from then on every request needs a key, and "
            "nobody could make the second one here",
            "scopes",
        )
    if asked.confirm != CONFIRM:
        raise InvalidInput(
            "confirm: as soon as there is one key nobody is answered without one; to make the "
            f'first, say "confirm": "{CONFIRM}"',
            "confirm",
        )


def _answer(key: ApiKey, accounts: Accounts) -> KeyAnswer:
    shown = {field: getattr(key, field) for field in key.__struct_fields__ if field != "hash"}
    return KeyAnswer(
        **shown,
        spent_usd=accounts.total(key.id),
        spent_today_usd=accounts.today(key.id, time.time()),
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/keys",
        handler=api_keys,
        summary="Every API key, the revoked too",
        answer=KeysAnswer,
        errors=(503,),
    ),
    Operation(
        method="POST",
        path="/keys",
        handler=add_api_key,
        summary="Make an API key, which is told once",
        body=KeyRequest,
        answer=KeyMade,
        status=201,
        errors=(409, 503),
        links=(Link("revoke_api_key", "id", "id"),),
    ),
    Operation(
        method="DELETE",
        path="/keys/{id}",
        handler=revoke_api_key,
        summary="Revoke an API key",
        answer=KeyAnswer,
        errors=(404, 409, 503),
    ),
)
