"""What deploys certsync fits what certsync is: settings, users, how long a stop may take."""

import re
from pathlib import Path

import pytest

from app.cli.server import STOP_SECONDS
from app.settings import PREFIX, Settings
from tests.support.processes import ROOT
from workers.settings import GRACE

UNITS = sorted((ROOT / "deploy").glob("*.service"))
FILES = [ROOT / "Dockerfile", ROOT / "compose.yaml", ROOT / "docs" / "deploy.md", *UNITS]
DOCKERFILE, COMPOSE = (path.read_text(encoding="utf-8") for path in FILES[:2])
KNOWN = {PREFIX + name.upper() + end for name in Settings.model_fields for end in ("", "_FILE")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    named = set(re.findall(rf"{PREFIX}[A-Z_]+", path.read_text(encoding="utf-8")))
    assert named
    assert named <= KNOWN


def service(name: str) -> str:
    """The lines of a service in compose.yaml."""
    found = re.search(rf"^  {name}:.*\n((?:    .*\n|\n)+)", COMPOSE, re.MULTILINE)
    assert found
    return found[1]


def seconds(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    assert found
    return int(found[1])


def test_a_stop_may_take_longer_than_what_is_stopped() -> None:
    """A worker gives its runs `GRACE`, and a statement of a replace takes 20 s at most (`GUARD_LIMITS`)."""
    longest = GRACE + 20
    assert seconds(service("worker"), r"stop_grace_period: (\d+)s") > longest
    assert seconds(service("api"), r"stop_grace_period: (\d+)s") > STOP_SECONDS
    worker, api = ((ROOT / "deploy" / f"certsync-{name}.service").read_text() for name in ("worker@", "api"))
    assert seconds(worker, r"TimeoutStopSec=(\d+)") > longest
    assert seconds(api, r"TimeoutStopSec=(\d+)") > STOP_SECONDS


def test_no_unit_stays_down_because_a_migration_failed() -> None:
    """What is required and fails ends the start for good; `Restart=` does not apply to that."""
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        assert not re.search(r"^(Requires|BindsTo|Requisite)=", text, re.MULTILINE)
        assert "certsync-migrate" in unit.name or re.search(r"^Wants=certsync-migrate", text, re.MULTILINE)


def test_no_container_may_do_more_than_it_has_to() -> None:
    assert COMPOSE.count("*certsync") == 3
    anchor = COMPOSE.partition("services:")[0]
    for line in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true", "/tmp:", "core: 0"):
        assert line in anchor
    assert re.search(r"^USER (?!0)\d+:\d+$", DOCKERFILE, re.MULTILINE)
    [volume] = re.findall(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)
    assert f"CERTSYNC_DATA_DIR={volume}" in DOCKERFILE
    assert f"data:{volume}" in anchor


def test_the_units_are_hardened_alike() -> None:
    assert len(UNITS) == 3
    hardened = {path.read_text().partition("User=")[2].partition("[Install]")[0].strip() for path in UNITS}
    [lines] = hardened
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "StateDirectory=certsync", "LimitCORE=0"):
        assert line in lines


def test_packages_are_installed_with_their_hashes_checked() -> None:
    assert "--require-hashes" in DOCKERFILE
    assert not re.search(r"pip install(?!.*--require-hashes)", DOCKERFILE)


def test_the_image_has_what_runs_and_nothing_else() -> None:
    copied = set(re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE))
    assert copied <= {"requirements/otel.txt", "alembic", "app", "workers", "LICENSE"}
    ignored = set((ROOT / ".dockerignore").read_text(encoding="utf-8").split())
    assert {".git", "tests", "var", "secrets"} <= ignored


def test_every_secret_that_is_deployed_is_a_file_of_its_own() -> None:
    """None is in a unit or in compose.yaml, and what is loaded is what the settings name."""
    for unit in UNITS:
        text = unit.read_text(encoding="utf-8")
        loaded = re.findall(r"^LoadCredential=(\w+):/etc/certsync/\1$", text, re.MULTILINE)
        named = re.findall(rf"^Environment={PREFIX}(\w+)_FILE=%d/(\w+)$", text, re.MULTILINE)
        assert sorted(loaded) == sorted(name for _, name in named)
        assert [name.upper() for _, name in named] == [variable for variable, _ in named]
    mounted = re.findall(rf"{PREFIX}(\w+)_FILE: /run/secrets/(\w+)", COMPOSE)
    for variable, name in mounted:
        assert variable == name.upper()
        assert f"  {name}: {{ file: ./secrets/{name} }}" in COMPOSE
    secret = {name for name, field in Settings.model_fields.items() if "SecretStr" in repr(field.annotation)}
    assert not {name.upper() for name in secret - {"redis_url"}} & set(
        re.findall(rf"{PREFIX}(\w+)[:=]", COMPOSE + "".join(unit.read_text() for unit in UNITS))
    )
