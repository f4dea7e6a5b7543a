"""The alarms ask for what there is, and the operators' page tells of every alarm and every metric."""

import re
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.registry import Collector

from app.constants import Role
from app.failures import RunFailure
from app.metrics import exposition
from app.services import health, metrics
from tests.support.api import Api
from tests.support.processes import ROOT

PAGE = (ROOT / "docs" / "operate.md").read_text(encoding="utf-8")
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((ROOT / "docs" / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]


def families(text: str) -> set[str]:
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in parse(text)
        if family.name.startswith("certsync")
    }


async def shown(api: Api) -> set[str]:
    """The name of every metric, of the API and of a worker."""
    text = (await api.get("/metrics", role=Role.OPS, district="*")).text
    worker: Collector = api.factory.run_metrics.registry
    return families(text) | families(exposition([worker], "")[0].decode())


@pytest.fixture(autouse=True)
def unhurried_scrapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine may take longer than an operator would wait; here every figure is wanted."""
    monkeypatch.setattr(health, "CHECK_SECONDS", 60)
    monkeypatch.setattr(metrics, "LIMIT", 60)


async def test_every_metric_is_on_the_page_and_no_other(api: Api) -> None:
    exist = await shown(api)
    assert len(exist) == 20
    documented = set(re.findall(r"^\| `(certsync_\w+)`", PAGE, re.MULTILINE))
    assert documented == exist


async def test_alarms_ask_for_metrics_that_exist(api: Api) -> None:
    exist = await shown(api)
    for rule in RULES:
        asked = {
            re.sub("_(bucket|count|sum)$", "", name) for name in re.findall(r"certsync_\w+", rule["expr"])
        }
        assert asked <= exist, rule["alert"]
        assert asked or "up{" in rule["expr"], rule["alert"]
        assert re.search(r"[<>=]=? ?[\d*. ]+\)?$", rule["expr"]), rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule["alert"]


def test_failure_codes_of_alarms_exist() -> None:
    codes = {failure.code for failure in RunFailure.__subclasses__()}
    asked = {code for rule in RULES for code in re.findall(r'failure_code="(\w+)"', rule["expr"])}
    assert asked
    assert asked <= codes


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_the_page_tells_what_to_do_about_an_alarm(rule: dict[str, Any]) -> None:
    [row] = [line for line in PAGE.splitlines() if line.startswith(f"| `{rule['alert']}` |")]
    _, _, when, what_to_do, _ = re.split(r"(?<!\\)\|", row)
    assert len(what_to_do) > 10
    expression = re.search("`(.*)`", when)
    assert expression is not None
    assert expression[1].replace("\\|", "|") in rule["expr"]


def test_the_page_has_no_other_alarm() -> None:
    assert set(re.findall(r"^\| `(Certsync\w+)`", PAGE, re.MULTILINE)) == {rule["alert"] for rule in RULES}
