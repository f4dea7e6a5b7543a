"""The document that integrators build on."""

import json
import re
from pathlib import Path

from app.main import create_app
from app.settings import Settings
from tests.support.api import Api
from tests.support.processes import ROOT


def test_committed_document_is_what_the_code_serves(tmp_path: Path) -> None:
    committed = json.loads((ROOT / "openapi" / "openapi.json").read_text(encoding="utf-8"))
    served = json.loads(json.dumps(create_app(Settings(data_dir=tmp_path)).openapi()))
    assert committed == served, "run `make openapi` and commit what it changes"


def test_every_operation_is_documented(tmp_path: Path) -> None:
    document = create_app(Settings(data_dir=tmp_path)).openapi()
    assert document["openapi"].startswith("3.1")
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"], operation["operationId"]
        assert operation["description"], operation["operationId"]
        assert operation["tags"], operation["operationId"]
        assert {"400", "408", "414", "431"} <= operation["responses"].keys(), operation["operationId"]
        for status, response in operation["responses"].items():
            if int(status) >= 400 and status != "503":
                shared = document["components"]["responses"].get(response.get("$ref", "").rpartition("/")[2])
                content = (shared or response)["content"]
                assert set(content) == {"application/problem+json"}, operation["operationId"]


def test_a_problem_of_the_connection_is_one(tmp_path: Path) -> None:
    """It has no path (`test_http_smuggling.py`), and a schema that asks for one would call it none."""
    schemas = create_app(Settings(data_dir=tmp_path)).openapi()["components"]["schemas"]
    assert set(schemas["Problem"]["required"]) == {"type", "title", "status", "detail"}


async def test_documentation_needs_nothing_from_elsewhere(api: Api) -> None:
    page = (await api.get("/docs", role=None)).text
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert len(addresses) >= 2
    for address in addresses:
        assert address.startswith("/"), address
        assert (await api.client.get(address)).status_code == 200, address
