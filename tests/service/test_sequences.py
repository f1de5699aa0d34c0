"""Sequences of requests, by the links that the API's description gives from one to the next."""

from __future__ import annotations

import pytest
import schemathesis
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from schemathesis import GenerationMode

from bandit_router.service.apikeys import CONFIRM
from bandit_router.store import EventStore, verify
from bandit_router.store.keys import SCOPES

from .test_schemathesis import CHECKS, MANY, TIMES, serving

FEW = settings(MANY, max_examples=5 * TIMES, stateful_step_count=8)
# Any fields at all would hardly ever fit one another.
PLAINLY = {
    "/route": {"embedding": [1.0, 0.5]},
    "/feedback": {"decision_id": "none", "cost_usd": 0.1, "source": "x"},
}


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    db = tmp_path_factory.mktemp("sequences") / "s.db"
    with serving(db) as live:
        first = {"name": "first", "scopes": SCOPES, "confirm": CONFIRM}
        made = live.session.post(f"{live.url}/keys", json=first).json()
        live.session.headers["Authorization"] = f"Bearer {made['key']}"
        yield live
    with EventStore.open(db, readonly=True) as store:
        assert verify(store).agrees


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("paths", "led_to"),
    [
        ("^/(route|decisions|feedback$)", {"decision", "erase_decision", "feedback"}),
        ("^(/v1)?/models", {"alter_model", "remove_model", "one_model"}),
        ("^/(keys|clusters|lineage)", {"revoke_api_key", "cluster"}),
        ("", set()),
    ],
    ids=["decisions", "models", "keys", "everything"],
)
def test_no_sequence_of_requests_breaks_it(live, paths, led_to):
    schema = schemathesis.openapi.from_url(f"{live.url}/openapi.json").include(path_regex=paths)
    schema.config.generation.update(modes=[GenerationMode.POSITIVE])
    answered = set()

    class Sequences(schema.as_state_machine()):
        def before_call(self, case):
            plain = PLAINLY.get(case.operation.path)
            if plain and isinstance(case.body, dict):
                said = case.body.get("decision_id")  # that the answer before gave
                case.body = plain | ({"decision_id": said} if said else {})

        def get_call_kwargs(self, case):
            return {"base_url": live.url, "session": live.session}

        def validate_response(self, response, case, **_):
            case.validate_response(response, checks=CHECKS)
            if response.status_code < 300:
                answered.add(case.operation.definition.raw["operationId"])

    run_state_machine_as_test(Sequences, settings=FEW)
    assert not led_to or led_to & answered
