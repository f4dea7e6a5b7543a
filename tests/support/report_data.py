"""Sample reports, as report.json has them."""

from typing import Any

NAMES = [
    ("O'Brien-Smith", "Mary Kate"),
    ("De La Cruz", "José"),
    ("Nguyễn", "Thị Hồng Hạnh"),
    ("Müller", "Zoë"),
    ("Žižek", "Łucja"),
    ("الحسيني", "محمد"),
    ("Петров", "Алексей"),
    ("Washington", "Tyrone"),
]


def listing(items: list[dict[str, Any]], total: int | None = None) -> dict[str, Any]:
    return {"total": len(items) if total is None else total, "items": items}


def person(index: int) -> dict[str, Any]:
    last, first = NAMES[index % len(NAMES)]
    return {"employee_number": f"E{10_000 + index}", "last_name": last, "first_name": first}


def skipped(index: int, candidates: int = 1) -> dict[str, Any]:
    """An employee whose first candidate has another last name, the second another Educator ID."""
    employee = {**person(index), "state_staff_id": f"{400_100 + index}", "disagrees": ["last_name"]}
    kinds = [
        {"educator_id": f"{400_100 + index}", "last_name": "Formername", "disagrees": ["last_name"]},
        {
            "educator_id": f"{700_100 + index}",
            "last_name": employee["last_name"],
            "disagrees": ["educator_id"],
        },
    ]
    found = [{**kinds[number % 2], "first_name": employee["first_name"]} for number in range(candidates)]
    return {**employee, "candidates": found, "more_candidates": 0}


def other_name(index: int) -> dict[str, Any]:
    return {
        **person(index),
        "educator_id": f"{400_100 + index}",
        "file_last_name": "Maidenname",
        "file_first_name": "Pat",
        "rows": 2,
    }


def expired(index: int, certifications: int = 1) -> dict[str, Any]:
    return {
        **person(index),
        "certifications": [
            {
                "license_number": f"L-{60_000 + index + number}",
                "license_type": "Level II Professional",
                "expiration_date": f"{2026 - number}-06-30",
            }
            for number in range(certifications)
        ],
    }


def blank_dates(index: int) -> dict[str, Any]:
    return {
        **person(index),
        "record": "endorsement",
        "license_number": f"L-{60_000 + index}",
        "code": "2-05",
        "missing": ["issue_date", "expiration_date"],
    }


def disagreement(index: int) -> dict[str, Any]:
    return {
        "employee_number": f"E{10_000 + index}",
        "license_number": f"L-{60_000 + index}",
        "license_type": "Level I Professional",
        "variants": 2,
        "kept": {"status": "ACT", "issue_date": None, "expiration_date": "2029-06-30"},
    }


def overwritten(index: int) -> dict[str, Any]:
    return {
        "employee_number": f"E{10_000 + index}",
        "record": "certification",
        "license_number": f"L-{60_000 + index}",
        "code": None,
        "change": "changed",
        "updated_by": "hr.admin",
        "updated_at": "2026-11-19T15:04:05Z",
    }


def changes(index: int, records: int = 1) -> dict[str, Any]:
    """An employee with one changed licence, and further ones that are added."""
    licence = {"record": "certification", "license_type": "Level II Professional", "code": None}
    changed = {
        "fields": {
            "expiration_date": {"old": None, "new": "2029-06-30"},
        },
        "manual_edit": {"by": "hr.admin", "at": "2026-11-19T15:04:05Z"},
    }
    added = {"status": "ACT", "issue_date": "2026-07-01", "expiration_date": None, "manual_edit": None}
    items = [
        {**licence, "id": f"{index}-{number}", "license_number": f"L-{60_000 + index + number}", **values}
        for number, values in enumerate([changed] + [added] * (records - 1))
    ]
    return {**person(index), "added": items[1:], "changed": items[:1], "removed": []}


def rejected(index: int) -> dict[str, Any]:
    return {
        "line": 1_000 + index,
        "column": "LicenseExpirationDate",
        "value": "13/45/2026",
        "reason": "is not a date in any of the known formats",
    }


MAKERS = {
    "skipped": skipped,
    "missing_certification": lambda index: {**person(index), "job_class": "TCH-HS"},
    "expired": expired,
    "other_name": other_name,
    "overwritten": overwritten,
    "changes": changes,
    "blank_dates": blank_dates,
    "disagreement": disagreement,
    "rejected": rejected,
}


def lists(**counts: int) -> dict[str, dict[str, Any]]:
    """Return all lists of a report, each with as many items as `counts` says, else empty."""
    return {name: listing([make(i) for i in range(counts.get(name, 0))]) for name, make in MAKERS.items()}


def report(**counts: int) -> dict[str, Any]:
    """Return the report of a successful run; every figure differs from every other."""
    return {
        "notice": None,
        "run": {
            "id": "0197a3c2-5d1e-7c43-9a41-0d6f2b8e4c11",
            "task_description": "Nightly licence import",
            "kind": "import",
            "trigger": "schedule",
            "status": "succeeded",
            "run_by": "pat.hr",
            "scheduled_start": "2026-11-22T07:00:00Z",
            "actual_start": "2026-11-22T07:00:03.250000Z",
            "end": "2026-11-22T07:01:15Z",
            "late": False,
            "failure": None,
        },
        "district": {
            "id": "default",
            "name": "Green Mountain Unified School District",
            "state": "VT",
            "timezone": "America/New_York",
        },
        "file": {
            "name": "Curr_Lic_Eds_End_Limits_20261121_2215.txt",
            "datestamp": "2026-11-21T22:15:00",
            "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "size": 12_345_678,
            "reused": False,
        },
        "summary": {
            "employees_active": 1987,
            "employees_matched": 1803,
            "employees_skipped": 41,
            "employees_missing_certification": 23,
            "employees_expired_certification": 17,
            "certifications_deleted": 1951,
            "certifications_imported": 1962,
            "certifications_added": 29,
            "certifications_changed": 52,
            "certifications_removed": 18,
            "certifications_unchanged": 1881,
            "certifications_missing_issue_date": 11,
            "certifications_missing_expiration_date": 7,
            "licenses_conflicting": 6,
            "endorsements_deleted": 3120,
            "endorsements_imported": 3155,
            "endorsements_added": 61,
            "endorsements_changed": 73,
            "endorsements_removed": 26,
            "endorsements_unchanged": 3021,
            "endorsements_missing_issue_date": 13,
            "endorsements_missing_expiration_date": 9,
            "rows_read": 60000,
            "rows_matched": 3410,
            "rows_other_status": 6536,
            "rows_by_other_status": {"EXP": 6214, "LAP": 310, "SUS": 12},
            "rows_rejected": 38,
            "rows_not_ours": 50016,
            "manual_edits_overwritten": 4,
            "rows_same_id_other_name": 3,
            "employees_not_in_file": 143,
        },
        "warnings": [],
        "lists": lists(**counts),
    }


def failed_report(**counts: int) -> dict[str, Any]:
    """Return the report of a run that failed on its connection."""
    sample = report(**counts) | {"notice": "The import failed. Nothing was changed."}
    sample["run"] |= {
        "status": "failed",
        "trigger": "run_now",
        "failure": {
            "code": "sftp_fingerprint_mismatch",
            "message": "The state's server showed another fingerprint than the one that was saved. "
            "No user id or password was sent. Ask the state whether it has a new key.",
        },
    }
    return sample | {"file": None, "summary": None}


def preview_report(**counts: int) -> dict[str, Any]:
    """Return the report of a preview that succeeded."""
    sample = report(**counts) | {"notice": "This was a preview. Nothing was changed."}
    sample["run"]["kind"] = "preview"
    return sample
