"""Every command that writes leaves its event; the commands that read the trail, and verify it."""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from app.cli.main import cli
from app.factory import Factory
from app.settings import Settings
from tests.support.audit import change, newest, record, sealed_trail, tamper, trail
from tests.support.commands import certsync, refused, succeeded
from tests.support.imports import DISTRICT, add_district, row, write_file

# By command, what is typed and what the trail says of it; `@` is the id of the service token made before.
COMMANDS: list[tuple[str, list[str], list[str]]] = [
    ("districts add", ["hill"], ["district added"]),
    ("districts pause", ["hill"], ["district paused"]),
    ("districts pause", ["hill"], []),
    ("districts resume", ["hill"], ["district resumed"]),
    ("districts resume", ["hill"], []),
    ("districts layout", ["hill", "layout.toml"], ["district changed"]),
    ("employees load", ["people.csv", "--district", "hill"], ["job_class added", "employee added"]),
    ("job-classes load", ["classes.csv", "--district", "hill"], ["job_class added"]),
    (
        "service-tokens create",
        ["erp", "--scope", "runs:read", "--district", "hill"],
        ["service_token added"],
    ),
    ("service-tokens revoke", ["@", "--district", "hill"], ["service_token revoked"]),
    ("import", ["licences.csv", "--district", "hill"], ["run started", "run ended"]),
    (
        "person export",
        ["--employee", "E1", "--district", "hill", "--output", "ann.json"],
        ["employee exported"],
    ),
    (
        "person erase",
        ["--employee", "E1", "--district", "hill", "--yes", "--even-if-active", "--delete-files"],
        ["employee redacted", "employee erased"],
    ),
]
ELSEWHERE = {"keys rotate", "keys discard"}
"""Tested in `test_audit_routes.py`, with values to rotate."""
READ_ONLY = {
    "audit export",
    "audit list",
    "audit seal",
    "audit verify",
    "backup",
    "connection-events export",
    "copy-to",
    "districts list",
    "inspect",
    "keys generate",
    "keys list",
    "migrate",
    "openapi",
    "serve",
    "service-tokens list",
    "token",
    "up",
    "worker",
}
"""Commands that write to no record of this instance."""
SCRIPT = """
import sqlite3, sys, json
from app.cli.main import cli
for command in json.loads(sys.argv[1]):
    if "@" in command:
        found = sqlite3.connect("certsync.db").execute("SELECT id FROM service_token").fetchone()[0]
        command[command.index("@")] = found
    try:
        cli(command, standalone_mode=False)
    except SystemExit as ended:
        assert not ended.code, command
"""


def commands_of(app: typer.Typer, before: str = "") -> Iterator[str]:
    for command in app.registered_commands:
        assert command.callback is not None
        yield before + (command.name or command.callback.__name__.replace("_", "-"))
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands_of(group.typer_instance, f"{group.name} ")


def test_every_command_that_writes_leaves_its_event(migrated_sqlite: Path, tmp_path: Path) -> None:
    assert {name for name, _, _ in COMMANDS} | ELSEWHERE | READ_ONLY == set(commands_of(cli))
    (tmp_path / "certsync.db").write_bytes(migrated_sqlite.read_bytes())
    layout = Path("app/layouts/vt_alis.toml").read_text(encoding="utf-8")
    (tmp_path / "layout.toml").write_text(layout, encoding="utf-8")
    (tmp_path / "people.csv").write_text(
        "employee_number,last_name,first_name,status,job_class\nE1,Roy,Ann,active,T\n", encoding="utf-8"
    )
    (tmp_path / "classes.csv").write_text(
        "code,title,certification_required\nU,Usher,false\n", encoding="utf-8"
    )
    write_file(tmp_path, [row("1", "Roy", "Ann")]).rename(tmp_path / "licences.csv")
    typed = [[*name.split(), *rest] for name, rest, _ in COMMANDS]
    subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(typed)],
        env={"PATH": "", "PYTHONPATH": str(Path.cwd()), "CERTSYNC_DATA_DIR": ".", "LOGNAME": "operator"},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=120,
    )
    events = asyncio.run(trails(tmp_path))
    assert events[DISTRICT] == []
    said = [f"{each.record_type} {each.action}" for each in events["hill"]]
    assert said == [one for _, _, says in COMMANDS for one in says]
    assert {each.interface for each in events["hill"]} == {"cli", "import"}
    assert {each.actor for each in events["hill"] if each.interface == "cli"} == {"operator"}
    assert all(re.fullmatch(r"\S+", each.address) for each in events["hill"])


async def trails(data_dir: Path) -> dict[str, list[Any]]:
    factory = Factory(Settings(data_dir=data_dir))
    try:
        return {district_id: await trail(factory, district_id) for district_id in (DISTRICT, "hill")}
    finally:
        await factory.close()


def typed(factory: Factory, *arguments: str) -> Any:
    url = factory.settings.database_url
    variables = {"CERTSYNC_DATABASE_URL": url.get_secret_value()} if url else {}
    return certsync(factory.settings.data_dir, "audit", *arguments, COLUMNS="200", **variables)


async def test_verify_says_what_is_wrong_and_ends_with_it(factory: Factory) -> None:
    await add_district(factory, "hill")
    await sealed_trail(factory, 3)
    head = (await newest(factory)).hash
    told = succeeded(typed(factory, "verify"))
    assert f"default: intact, 3 links after 0, head 3:{head}" in told
    assert "hill: intact, 0 links" in told
    await record(factory, change())
    assert "1 events are not sealed yet" in succeeded(typed(factory, "verify", "--district", DISTRICT))
    assert "1 events were sealed" in succeeded(typed(factory, "seal"))
    succeeded(typed(factory, "verify", "--district", DISTRICT, "--head", f"3:{head}"))
    await tamper(
        factory,
        "UPDATE audit_event SET actor = 'x' WHERE id = (SELECT id FROM audit_event ORDER BY id LIMIT 1)",
    )
    found = typed(factory, "verify", "--district", DISTRICT, "--head", f"9:{head}")
    assert found.returncode == 1
    assert "default: NOT INTACT" in found.stdout
    assert "link 1 is not what was sealed" in found.stdout
    assert "link 9 was noted, but the chain ends at 4" in found.stdout
    assert typed(factory, "verify", "--head", f"9:{head}").returncode == 2
    assert typed(factory, "verify", "--district", "hill", "--head", "9:x").returncode == 2
    refused(typed(factory, "verify", "--district", "nowhere"), "certsync districts add")


async def test_events_are_listed_and_exported(factory: Factory) -> None:
    await record(factory, change("E1"), change("E2"))
    await factory.audit.seal()
    lines = [
        json.loads(line) for line in succeeded(typed(factory, "export", "--employee", "E2")).splitlines()
    ]
    assert [(line["district"], line["record_id"], line["sequence"]) for line in lines] == [
        (DISTRICT, "E2", 2)
    ]
    assert (lines[0]["before"], lines[0]["after"]) == ({"last_name": "Ray"}, {"last_name": "Roy"})
    told = succeeded(typed(factory, "list", "--actor", "certsync"))
    assert told.index("employee E2") < told.index("employee E1")
    assert succeeded(typed(factory, "export", "--until", "2020-01-01")) == ""
