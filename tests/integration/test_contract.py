"""Requests drawn from the published OpenAPI document: no answer is a server error or differs from the document.

CI draws some hundreds; `FUZZ_EXAMPLES=1000 pytest tests/integration/test_contract.py`, as in `make nightly`, twenty
thousand. A good request follows each.
"""

import os
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conftest import PROJECT
from tests.galleries import build_gallery
from tests.servers import served

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
TOKEN = "a-token-for-this-test"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    gallery = build_gallery(tmp_path_factory.mktemp("contract"))
    with served(gallery.index, {"AAHR_WATCH_S": "0", "AAHR_ADMIN_TOKEN": TOKEN}) as (client, _):
        yield client


# That the document is the one that is served is another test (tests/unit/service/test_app.py).
schema = schemathesis.openapi.from_path(PROJECT / "tests" / "unit" / "service" / "openapi.json")


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_as_the_document_says(case: Any, client: httpx2.Client) -> None:
    case.call_and_validate(
        base_url=str(client.base_url),
        headers=BEARER,
        checks=[
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ],
        timeout=30,
    )
    good = client.post("/search", json={"text": "a blue square", "limit": 1}, headers=BEARER)
    assert (good.status_code, good.json()["results"][0]["uri"]) == (200, "blue.jpg")
