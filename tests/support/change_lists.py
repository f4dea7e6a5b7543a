"""A run's list of changes, applied to the records before it: nothing of the service's own code."""

from datetime import date
from typing import Any
from uuid import UUID

from tests.support.oracle import CERTIFICATION, ENDORSEMENT, Item

Key = tuple[str, str]
Shown = dict[Key, Item]
IDENTITY = ("record", "id", "license_number", "license_type", "code")


def shown(found: dict[str, list[Item]]) -> Shown:
    """What a reader sees of all records that `by_hand.held` found, by kind and id."""
    licences: dict[UUID, Item] = {item["public_id"]: item for item in found["certifications"]}
    kinds = (
        ("certification", found["certifications"], CERTIFICATION),
        ("endorsement", found["endorsements"], ENDORSEMENT),
    )
    records = {}
    for record, items, names in kinds:
        for item in items:
            licence = licences[item["certification"] if record == "endorsement" else item["public_id"]]
            values = {name: plain(item[name]) for name in names}
            if record == "endorsement":
                values["primary"] = item["is_primary"]
            records[record, str(item["public_id"])] = {
                "employee_number": item["employee_number"],
                **{name: licence[name] for name in ("license_number", "license_type")},
                "code": item.get("code"),
                **values,
            }
    return records


def plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def applied(changes: list[Item], before: Shown) -> Shown:
    """The records after the changes; every one must fit what it is applied to, and say something."""
    after = dict(before)
    numbers = [item["employee_number"] for item in changes]
    assert numbers == sorted(set(numbers))
    for item in changes:
        assert item["added"] or item["changed"] or item["removed"]
        for record in item["removed"]:
            assert after.pop(key_of(record)) == content(item, record)
        for record in item["changed"]:
            assert record["fields"]
            known = after[key_of(record)]
            assert {name: known[name] for name in IDENTITY[2:]} == {
                name: record[name] for name in IDENTITY[2:]
            }
            assert known["employee_number"] == item["employee_number"]
            for name, values in record["fields"].items():
                assert values["old"] != values["new"]
                assert known[name] == values["old"]
            new = {name: values["new"] for name, values in record["fields"].items()}
            after[key_of(record)] = known | new
        for record in item["added"]:
            assert key_of(record) not in before
            after[key_of(record)] = content(item, record)
    return after


def key_of(record: Item) -> Key:
    return record["record"], record["id"]


def content(item: Item, record: Item) -> Item:
    values: dict[str, Any] = {
        name: value for name, value in record.items() if name not in ("record", "id", "manual_edit")
    }
    return {"employee_number": item["employee_number"], **values}


def manual_edits(changes: list[Item]) -> dict[Key, str]:
    """Who edited each record whose edit the changes go over."""
    return {
        key_of(record): record["manual_edit"]["by"]
        for item in changes
        for change in ("added", "changed", "removed")
        for record in item[change]
        if record["manual_edit"]
    }
