"""What is shipped is known, pinned, and of licences that allow it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from scripts import supply_chain
from tests.support.processes import ROOT

REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PACKAGE_LOCK = ROOT / "tests" / "npm" / "package-lock.json"
ONLY_ELSEWHERE = {"async-timeout", "brotlicffi", "colorama"}
"""Pinned for other systems, implementations or versions of Python, so not installed here."""

LICENCE_IN_WORDS = {"protobuf"}
"""Names no licence that CycloneDX knows; the check of licences reads its words."""


def test_bill_of_materials(tmp_path: Path) -> None:
    path = tmp_path / "dist" / "sbom.json"
    assert supply_chain.main(["sbom", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    document = json.loads(text)
    names = {part["name"].lower().replace("_", "-") for part in document["components"]}
    assert supply_chain.shipped() - names <= ONLY_ELSEWHERE
    assert {"fastapi", "asyncssh", "weasyprint"} <= names
    assert not names & {"pytest", "ruff", "moto", "hypothesis"}, "what only developing needs is not shipped"
    for part in document["components"]:
        assert part["purl"].startswith("pkg:pypi/")
        assert part.get("licenses") or part["name"] in LICENCE_IN_WORDS, part["name"]
    root = next(entry for entry in document["dependencies"] if entry["ref"] == "root-component")
    assert len(root["dependsOn"]) > 20


def test_licences_are_checked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert supply_chain.main(["licences"]) == 0
    monkeypatch.setattr(supply_chain, "ALLOWED", {"Apache-2.0", "BSD-3-Clause"})
    assert supply_chain.main(["licences"]) == 1
    assert "licence not allowed: fastapi: MIT\n" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("licence", "expected"),
    [
        ("MIT", True),
        ("MIT AND PSF-2.0", True),
        ("EPL-2.0 OR GPL-2.0-or-later", True),
        ("GNU General Public License v2 or later (GPLv2+); MIT License", True),
        ("MIT AND GPL-2.0-only", False),
        ("GPL-3.0-only", False),
        ("AGPL-3.0-or-later", False),
        ("GNU Affero General Public License v3", False),
        ("Proprietary; limited use only", False),
        ("Microsoft Limited Public License", False),
        ("See DISCLAIMER, all rights reserved", False),
        ("MIT AND (BSD-3-Clause OR GPL-2.0-only)", False),
        ("Not the MIT License", False),
        ("UNKNOWN", False),
        ("", False),
    ],
)
def test_a_licence_counts_by_its_whole_name(licence: str, expected: bool) -> None:
    assert supply_chain.permitted(licence) is expected


def test_advisories_are_told() -> None:
    report: dict[str, Any] = {
        "dependencies": [
            {"name": "good", "version": "1.0", "vulns": []},
            {
                "name": "jinja2",
                "version": "2.0",
                "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"]}],
            },
            {"name": "own", "skip_reason": "Dependency not found on PyPI"},
        ]
    }
    found, checked = supply_chain.vulnerable(report)
    assert found == ["jinja2 2.0: PYSEC-2019-217, fixed in 2.10.1"]
    assert checked == 2


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.stem)
def test_every_pin_has_hashes(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    pins = re.findall(r"^(\S+)==.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert pins
    for block in re.split(r"\n(?=[A-Za-z])", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE)):
        assert "==" in block.splitlines()[0], block[:80]
        assert "--hash=sha256:" in block, block[:80]
    assert "://" not in re.sub(r"#.*", "", text), "no address of a registry"


def test_packages_of_the_test_provider_have_hashes() -> None:
    packages = json.loads(PACKAGE_LOCK.read_text(encoding="utf-8"))["packages"]
    assert len(packages) > 10
    for name, package in packages.items():
        assert not name or package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name
