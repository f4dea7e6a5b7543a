"""What a run must report (I12), worked out by brute force from an `Oracle`'s outcome."""

from datetime import date
from typing import Any
from uuid import UUID

from tests.support.oracle import (
    CERTIFICATION,
    ENDORSEMENT,
    Item,
    Line,
    Oracle,
    compared_names,
    plain,
    same_id,
    same_text,
    tidy,
    who,
)

LISTED_CANDIDATES = 5


class Report:
    """The lists by kind and the summary. `rejected` is not here: the oracle has the lines at fault."""

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle
        self.world = oracle.world
        self.active_numbers = {person["employee_number"] for person in oracle.active}
        self.lists: dict[str, list[Item]] = {
            "skipped": [*filter(None, map(self._skipped, oracle.active))],
            "other_name": [item for person in oracle.active for item in self._other_names(person)],
            "missing_certification": [
                {**who(person), "job_class": person["job_class"]}
                for person in oracle.active
                if person["job_class"] in self.world.required and not self._matched(person)
            ],
            "expired": [*filter(None, map(self._expired, oracle.active))],
            "blank_dates": self._blank_dates(),
            "disagreement": oracle.disagreements,
            "overwritten": self._overwritten(),
        }
        self.summary = self._summary()

    def _matched(self, person: Item) -> bool:
        return person["employee_number"] in self.oracle.ours

    def _people_of_file(self, position: slice, compared: tuple[str, ...]) -> list[list[Line]]:
        """The file's people who share an id, or a name, with somebody: the rows of each, in order."""
        people: dict[tuple[bool, bytes, bytes, str], list[Line]] = {}
        for line in self.oracle.lines:
            if tuple(line.person[position]) == compared:
                number, *names = line.person
                # Half a name is no name: such rows are one person if they say the same, letter by letter.
                if half := "" in names:
                    names = [tidy(line.cells["LastName"]), tidy(line.cells["FirstName"])]
                last, first = (name.encode() for name in names)
                # By what tells them apart, in the order of bytes; those without a whole name last.
                people.setdefault((half, last, first, number), []).append(line)
        return [people[key] for key in sorted(people)]

    def _skipped(self, person: Item) -> Item | None:
        if self._matched(person):
            return None
        last, first = (same_text(name) for name in compared_names(person))
        number = same_id(person["state_staff_id"])
        by_id = self._people_of_file(slice(0, 1), (number,)) if number else []
        by_name = self._people_of_file(slice(1, 3), (last, first))
        if not by_id and not by_name:
            return None
        ours = {"last_name": last, "first_name": first}
        found = []
        for shown in map(candidate, by_id):
            wrong = [name for name in ours if same_text(shown[name]) != ours[name]]
            assert wrong, "one who agrees on everything is matched"
            found.append({**shown, "disagrees": wrong})
        found += [{**candidate(lines), "disagrees": ["educator_id"]} for lines in by_name]
        listed = found[:LISTED_CANDIDATES]
        considered = found[: len(by_id)][:LISTED_CANDIDATES] + found[len(by_id) :][:LISTED_CANDIDATES]
        named = {name for item in considered for name in item["disagrees"]}
        return {
            **who(person),
            "state_staff_id": person["state_staff_id"],
            "disagrees": [name for name in ("educator_id", "last_name", "first_name") if name in named],
            "candidates": listed,
            "more_candidates": len(found) - len(listed),
        }

    def _other_names(self, person: Item) -> list[Item]:
        if not self._matched(person):
            return []
        names = tuple(same_text(name) for name in compared_names(person))
        found = []
        for lines in self._people_of_file(slice(0, 1), (same_id(person["state_staff_id"]),)):
            if lines[0].person[1:] != names:
                shown = candidate(lines)
                found.append(
                    {
                        **who(person),
                        "educator_id": shown["educator_id"],
                        "file_last_name": shown["last_name"],
                        "file_first_name": shown["first_name"],
                        "rows": len(lines),
                    }
                )
        return found

    def _expired(self, person: Item) -> Item | None:
        past = [
            {name: item[name] for name in ("license_number", "license_type", "expiration_date")}
            for item in self.oracle.certifications.values()
            if item["employee_number"] == person["employee_number"]
            and (item["expiration_date"] or date.max) < self.world.today
        ]
        return {**who(person), "certifications": [plain(item) for item in past]} if past else None

    def _blank_dates(self) -> list[Item]:
        people = {person["employee_number"]: who(person) for person in self.oracle.active}
        held = [("certification", item, item, None) for item in self.oracle.certifications.values()]
        held += [
            ("endorsement", item, self.oracle.certifications[item["certification"]], item["code"])
            for item in self.oracle.endorsements.values()
        ]
        return [
            {
                **people[item["employee_number"]],
                "record": record,
                "license_number": licence["license_number"],
                "code": code,
                "missing": missing,
            }
            for record, item, licence, code in held
            if (missing := [name for name in ("issue_date", "expiration_date") if item[name] is None])
        ]

    def _overwritten(self) -> list[Item]:
        numbers = {item["public_id"]: item["license_number"] for item in self.world.certifications}
        found = []
        for record, items, wanted, fields in self._kinds():
            for item in items:
                if item["source"] != "manual" or item["employee_number"] not in self.active_numbers:
                    continue
                after = wanted.get(item["public_id"])
                if after is None or any(item[name] != after[name] for name in fields):
                    found.append(
                        {
                            "employee_number": item["employee_number"],
                            "record": record,
                            "license_number": numbers[item["certification"]]
                            if record == "endorsement"
                            else item["license_number"],
                            "code": item.get("code"),
                            "change": "changed" if after else "removed",
                            "updated_by": item["updated_by"],
                        }
                    )
        return found + [self._restored(record, key) for record, key in self._deleted_and_back()]

    def _deleted_and_back(self) -> list[tuple[str, UUID]]:
        return [
            (record, key)
            for record, items, wanted, _ in self._kinds()
            for key in self.world.deleted & set(wanted) - {item["public_id"] for item in items}
        ]

    def _restored(self, record: str, key: UUID) -> Item:
        item = (self.oracle.certifications | self.oracle.endorsements)[key]
        return {
            "employee_number": item["employee_number"],
            "record": record,
            "license_number": self.oracle.certifications[item.get("certification", key)]["license_number"],
            "code": item.get("code"),
            "change": "restored",
            "updated_by": "hand",
        }

    def _kinds(self) -> tuple[tuple[str, list[Item], dict[UUID, Item], tuple[str, ...]], ...]:
        return (
            ("certification", self.world.certifications, self.oracle.certifications, CERTIFICATION),
            ("endorsement", self.world.endorsements, self.oracle.endorsements, ENDORSEMENT),
        )

    def _figures(self, record: str) -> dict[str, Any]:
        """Deleted and imported as a delete-and-reimport counts them, and what really differs."""
        _, items, wanted, fields = next(kind for kind in self._kinds() if kind[0] == record)
        held = [item for item in items if item["employee_number"] in self.active_numbers]
        again = [item for item in held if item["public_id"] in wanted]
        compared = (*fields, "is_primary") if record == "endorsement" else fields
        changed = sum(
            item["source"] == "manual"
            or any(item[name] != wanted[item["public_id"]][name] for name in compared)
            for item in again
        )
        records = f"{record}s"
        return {
            f"{records}_deleted": len(held),
            f"{records}_imported": len(wanted),
            f"{records}_added": len(wanted) - len(again),
            f"{records}_changed": changed,
            f"{records}_removed": len(held) - len(again),
            f"{records}_unchanged": len(again) - changed,
            f"{records}_missing_issue_date": sum(item["issue_date"] is None for item in wanted.values()),
            f"{records}_missing_expiration_date": sum(
                item["expiration_date"] is None for item in wanted.values()
            ),
        }

    def _summary(self) -> dict[str, Any]:
        oracle = self.oracle
        matched = {line.line for lines in oracle.ours.values() for line in lines}
        skipped = len(self.lists["skipped"])
        return {
            "employees_active": len(oracle.active),
            "employees_matched": len(oracle.ours),
            "employees_skipped": skipped,
            "employees_not_in_file": len(oracle.active) - len(oracle.ours) - skipped,
            "employees_missing_certification": len(self.lists["missing_certification"]),
            "employees_expired_certification": len(self.lists["expired"]),
            **self._figures("certification"),
            **self._figures("endorsement"),
            "licenses_conflicting": len(oracle.disagreements),
            "rows_read": len(self.world.rows),
            "rows_matched": len(matched),
            "rows_other_status": sum(oracle.other_status.values()),
            "rows_by_other_status": dict(oracle.other_status),
            "rows_rejected": len(oracle.faulty),
            "rows_not_ours": len(oracle.lines) - len(matched),
            "rows_same_id_other_name": sum(self._under_another_name(line) for line in oracle.lines),
            "manual_edits_overwritten": len(self.lists["overwritten"]),
        }

    def _under_another_name(self, line: Line) -> bool:
        """Tell whether a matched employee has the id of this row and another name."""
        return any(
            line.person[0] == same_id(person["state_staff_id"])
            and line.person[1:] != tuple(same_text(name) for name in compared_names(person))
            for person in self.oracle.active
            if self._matched(person)
        )


def candidate(lines: list[Line]) -> Item:
    """One person of the file as shown; of several spellings the first in the order of bytes."""
    return {
        "educator_id": min(line.educator_id for line in lines),
        "last_name": min(tidy(line.cells["LastName"]) for line in lines),
        "first_name": min(tidy(line.cells["FirstName"]) for line in lines),
    }
