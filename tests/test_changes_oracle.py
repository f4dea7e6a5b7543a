"""Applying an import's list of changes to the records before it gives the records after it, in any world."""

from pathlib import Path
from typing import Any

from hypothesis import given

from app.factory import Factory
from tests.support.by_hand import change_by_hand, deletions, forget_everything, held
from tests.support.change_lists import applied, manual_edits, shown
from tests.support.imports import DISTRICT, lists, succeed, write_file
from tests.support.worlds import History, histories, tried

EXAMPLES = 16


@given(history=histories())
@tried(EXAMPLES)
async def test_the_changes_of_any_import_make_the_records_after_of_those_before(
    lenient: Factory, tmp_path: Path, history: History
) -> None:
    await forget_everything(lenient)
    await lenient.employees.put_all(DISTRICT, history.roster_before)
    await import_and_apply(lenient, write_file(tmp_path, history.file_before))
    for edit in history.edits:
        await change_by_hand(lenient, edit)
    await lenient.employees.put_all(DISTRICT, history.roster)
    await import_and_apply(lenient, write_file(tmp_path, history.file))


async def import_and_apply(factory: Factory, path: Path) -> None:
    found, deleted = await held(factory), {str(key) for key in await deletions(factory)}
    before = shown(found)
    manual = {
        str(item["public_id"]) for items in found.values() for item in items if item["source"] == "manual"
    }
    run = await succeed(factory, path)
    changes = (await lists(factory, run)).get("change", [])
    after = shown(await held(factory))
    assert applied(changes, before) == after
    gone_over = {
        key
        for key in before.keys() | after.keys()
        if content_of(before.get(key)) != content_of(after.get(key))
        and key[1] in (manual if key in before else deleted)
    }
    assert manual_edits(changes) == dict.fromkeys(gone_over, "hand")


def content_of(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """A record without the choice of primary, which is no edit."""
    return record and {name: value for name, value in record.items() if name != "primary"}
