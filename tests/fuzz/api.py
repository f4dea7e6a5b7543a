"""Schemathesis over the whole OpenAPI document, with every check, against a running instance."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.instance import Instance

TAKEN = ["2xx", "400", "401", "403", "404", "409", "412", "414", "422", "423"]
"""What a request that fits its schema may be answered: a schema cannot say which ids and rows exist."""
REFUSED = ["400", "401", "403", "404", "405", "409", "412", "414", "422", "423", "431"]
"""What one that does not fit has to be answered; the program's own list has 5xx in it."""
CASES = re.compile(r"^ *(\d+) generated", re.MULTILINE)
OPERATIONS = re.compile(r"^ *Tested: (\d+)", re.MULTILINE)


@dataclass
class Told:
    """Whether it found nothing, what it printed, and which errors the service has logged."""

    clean: bool
    text: str
    faults: list[str]

    @property
    def good(self) -> bool:
        return self.clean and not self.faults

    @property
    def cases(self) -> int:
        """How many requests it made up."""
        return _number(CASES, self.text)

    @property
    def operations(self) -> int:
        """How many operations it called."""
        return _number(OPERATIONS, self.text)


def _number(pattern: re.Pattern[str], text: str) -> int:
    found = pattern.search(text)
    assert found, text
    return int(found[1])


def configuration(instance: Instance, directory: Path) -> Path:
    """Write what schemathesis has to know of an instance, and return where."""
    users = [
        {
            "name": name,
            "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {instance.tokens[name]}"}],
        }
        for name in ("admin", "stranger")
    ]
    people = directory / "users.json"
    people.write_text(json.dumps({"auth": users}), encoding="utf-8")
    lines = [
        "[auth.wfc]",
        f"path = {json.dumps(str(people))}",
        'user = "admin"',
        'peers = ["admin", "stranger"]',
        "[checks.positive_data_acceptance]",
        f"expected-statuses = {json.dumps(TAKEN)}",
        "[checks.negative_data_rejection]",
        f"expected-statuses = {json.dumps(REFUSED)}",
        "[[operations]]",
        'include-path = "/metrics"',
        f"headers = {{ Authorization = {json.dumps('Bearer ' + instance.tokens['ops'])} }}",
    ]
    for name, values in instance.known.items():
        lines += [f'[dictionaries."{name}"]', f"values = {json.dumps(values)}"]
    lines.append("[parameters]")
    lines += [f'"{name}" = {{ dictionary = "{name}", probability = 0.7 }}' for name in instance.known]
    path = directory / "schemathesis.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def faults(log: Path) -> list[str]:
    """Return the lines of a log that tell of an error: one can hide behind a good answer."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if '"level": "error"' in line or "Traceback" in line]


def fuzz(instance: Instance, directory: Path, *arguments: str) -> Told:
    """Run schemathesis."""
    made = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "--config-file",
            str(configuration(instance, directory)),
            "run",
            f"{instance.url}/openapi.json",
            "--checks",
            "all",
            *arguments,
        ],
        check=False,
        cwd=directory,
        capture_output=True,
        text=True,
    )
    return Told(made.returncode == 0, made.stdout + made.stderr, faults(instance.log))
