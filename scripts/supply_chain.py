"""What certsync is made of: `python -m scripts.supply_chain sbom FILE | licences | advisories`."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BIN = ROOT / ".venv" / "bin"
SHIPPED = ROOT / "requirements" / "otel.txt"
"""What the image installs; requirements/dev.txt adds what developing needs."""
PINNED = ROOT / "requirements" / "dev.txt"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==", re.MULTILINE)
ADVISORY_SECONDS = "15"
ALLOWED = {
    *("Apache-2.0", "Apache Software License"),
    *("BSD-2-Clause", "BSD-3-Clause", "3-Clause BSD License", "BSD License"),
    *("ISC", "ISC License (ISCL)"),
    *("MIT", "MIT-0", "MIT-CMU", "MIT License"),
    *("MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)"),
    "PSF-2.0",
    "EPL-2.0",  # asyncssh, as a library that is used unchanged
    *(
        "LGPL-3.0-only",
        "GNU Lesser General Public License v2 or later (LGPLv2+)",
    ),  # psycopg, pyphen: likewise
}
"""Licences of what is shipped, by the names that the packages give them: SPDX's, and those of classifiers."""


def shipped() -> set[str]:
    """Return the normalised names of the packages that are shipped."""
    return {_normal(name) for name in PIN.findall(SHIPPED.read_text(encoding="utf-8"))}


def only_shipped(document: dict[str, Any]) -> dict[str, Any]:
    """Return a CycloneDX document of the whole environment without what is not shipped."""
    names = shipped()
    kept = [part for part in document["components"] if _normal(part["name"]) in names]
    references = {part["bom-ref"] for part in kept} | {document["metadata"]["component"]["bom-ref"]}
    dependencies = [
        {**entry, "dependsOn": sorted(references.intersection(entry.get("dependsOn", ())))}
        for entry in document["dependencies"]
        if entry["ref"] in references
    ]
    return {**document, "components": kept, "dependencies": dependencies}


def write_sbom(path: Path) -> None:
    """Write the software bill of materials, CycloneDX 1.6, of the Python packages that are shipped."""
    made = subprocess.run(
        [
            BIN / "cyclonedx-py",
            "environment",
            "--pyproject",
            ROOT / "pyproject.toml",
            "--mc-type",
            "application",
            "--output-reproducible",
            BIN / "python",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    document = only_shipped(json.loads(made.stdout))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}: {len(document['components'])} components\n")


def permitted(licence: str) -> bool:
    """Tell whether what a package says of its licence leaves a choice of which all is allowed.

    Classifiers, with semicolons between, are a choice as well. Whatever else it says is not allowed.
    """
    return any(ALLOWED.issuperset(choice.split(" AND ")) for choice in re.split("; | OR ", licence))


def check_licences() -> int:
    """Return 0 if everything that is shipped has a licence that it may be shipped under."""
    told = subprocess.run(
        [BIN / "pip-licenses", "--from=mixed", "--format=json", "--packages", *sorted(shipped())],
        check=True,
        capture_output=True,
        text=True,
    )
    refused = [package for package in json.loads(told.stdout) if not permitted(package["License"])]
    for package in refused:
        sys.stderr.write(f"licence not allowed: {package['Name']}: {package['License']}\n")
    return 1 if refused else 0


def vulnerable(report: dict[str, Any]) -> tuple[list[str], int]:
    """Return the findings of pip-audit's report in words, and how many packages it knew advisories of."""
    checked = [package for package in report["dependencies"] if "skip_reason" not in package]
    found = [
        f"{package['name']} {package['version']}: {advisory['id']}, fixed in "
        f"{', '.join(advisory['fix_versions']) or 'no version yet'}"
        for package in checked
        for advisory in package["vulns"]
    ]
    return found, len(checked)


def check_advisories() -> int:
    """Return 1 if there is an advisory against a pinned package. Without a network nobody can know: 0."""
    options = ["--disable-pip", "--require-hashes", "--progress-spinner=off", "--timeout", ADVISORY_SECONDS]
    told = subprocess.run(
        [BIN / "pip-audit", *options, "--format=json", "-r", PINNED],
        check=False,
        capture_output=True,
        text=True,
    )
    try:
        found, checked = vulnerable(json.loads(told.stdout))
    except ValueError:
        found, checked = [], 0
    for finding in found:
        sys.stderr.write(f"advisory: {finding}\n")
    if not checked:
        sys.stdout.write("Advisories were not looked at: their service cannot be reached from here.\n")
    return 1 if found else 0


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: list[str]) -> int:
    """Do what the first argument says and return the exit code."""
    match arguments:
        case ["sbom", path]:
            write_sbom(Path(path))
            return 0
        case ["licences"]:
            return check_licences()
        case ["advisories"]:
            return check_advisories()
    sys.stderr.write(f"{__doc__}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
