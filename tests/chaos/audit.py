"""What is left after a fault: every record, every write and every answer is held against what must be true.

The log of edits says in which order writes and imports were; so the records must be those of the file of the
last import and the edits after it. That the log is complete is told by the writers: each write has a mark.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from tests.chaos.deployment import Deployment
from tests.chaos.districts import ChaosDistrict, Content, content_of
from tests.chaos.faults import Fault
from tests.chaos.load import REFUSED, Load, Probe, Write

RUNS = """
    SELECT id, status, failure_code, file_sha256, extract(epoch FROM ended_at)::float8 AS ended
    FROM run WHERE district_id = %s AND status IN ('succeeded', 'failed') ORDER BY ended_at
"""
EDITS = """
    SELECT *, extract(epoch FROM at)::float8 AS written FROM record_edit WHERE district_id = %s ORDER BY id
"""
CERTIFICATIONS = """
    SELECT c.*, employee_number FROM certification AS c JOIN employee AS e ON e.id = c.employee_id
    WHERE c.district_id = %s
"""
ENDORSEMENTS = """
    SELECT e.public_id, e.code, c.public_id AS certification
    FROM endorsement AS e JOIN certification AS c ON c.id = e.certification_id WHERE e.district_id = %s
"""
Row = dict[str, Any]
Contents = tuple[dict[UUID, Content], dict[UUID, tuple[UUID, str]]]


async def losses(deployment: Deployment, load: Load) -> list[str]:
    """Return what was lost, doubled, mixed or wrongly written; nobody may write meanwhile."""
    found: list[str] = []
    for district in deployment.districts:
        runs = await deployment.query(RUNS, district.name)
        edits = await deployment.query(EDITS, district.name)
        writes = [write for write in load.writes if write.district == district.name]
        found += unlike(district, runs, edits, await contents(deployment, district))
        found += unlogged(district.name, writes, edits)
        found += overwritten_by_none(district.name, runs, edits)
    return found


async def contents(deployment: Deployment, district: ChaosDistrict) -> Contents:
    """Return the certifications and endorsements that are there, by public id."""
    certifications = await deployment.query(CERTIFICATIONS, district.name)
    endorsements = await deployment.query(ENDORSEMENTS, district.name)
    return (
        {row["public_id"]: content_of(row) for row in certifications},
        {row["public_id"]: (row["certification"], row["code"]) for row in endorsements},
    )


def unlike(district: ChaosDistrict, runs: list[Row], edits: list[Row], found: Contents) -> Iterator[str]:
    """Compare with the file of the last import and what was written by hand after it."""
    last = [run for run in runs if run["status"] == "succeeded"][-1]
    text = district.text_of(last["file_sha256"])
    certifications: dict[UUID, Content] = dict(text.certifications)
    endorsements = dict(text.endorsements)
    for edit in edits:
        if edit["run_id"] is None and edit["record"] == "endorsement":
            endorsements.pop(edit["public_id"], None)
        elif edit["run_id"] is None:
            before = certifications.pop(edit["public_id"], None)
            if before != as_content(edit, "before"):
                yield f"{district.name}: edit {edit['id']} does not fit the records before it"
            if after := as_content(edit, "after"):
                certifications[edit["public_id"]] = after
    wanted: tuple[tuple[str, dict[UUID, Any], dict[UUID, Any]], ...] = (
        ("certifications", certifications, found[0]),
        ("endorsements", endorsements, found[1]),
    )
    for noun, expected, there in wanted:
        missing, more = expected.keys() - there.keys(), there.keys() - expected.keys()
        other = [key for key in expected.keys() & there.keys() if expected[key] != there[key]]
        if missing or more or other:
            yield (
                f"{district.name}: of the {noun} {len(missing)} are missing, {len(more)} are too many and "
                f"{len(other)} differ from the last import and what was written after it"
            )


def as_content(edit: Row, side: str) -> Content | None:
    """What an edit says of a certification, before or after; None where there was or is none."""
    return content_of({**edit, **edit[side]}) if edit[side] else None


def unlogged(name: str, writes: list[Write], edits: list[Row]) -> Iterator[str]:
    """Compare what the writers were answered with what was written."""
    licences = [edit for edit in edits if edit["record"] == "certification"]
    marks: dict[str, Row] = {edit["after"]["status"]: edit for edit in licences if edit["after"]}
    for write in writes:
        edit = marks.pop(write.mark, None)
        if write.kind != "delete" and write.accepted and edit is None:
            yield f"{name}: {write.mark} was accepted ({write.status}) and is lost"
        if write.status in REFUSED and edit is not None:
            yield f"{name}: {write.mark} was refused ({write.status}) and is written"
    if marks:
        yield f"{name}: {len(marks)} writes are there that nobody sent"
    deleted = Counter(edit["public_id"] for edit in licences if edit["action"] == "deleted")
    answers: dict[UUID | None, Counter[bool]] = defaultdict(Counter)
    for write in writes:
        if write.kind == "delete" and (write.accepted or write.status == 0):
            answers[write.public_id][write.accepted] += 1
    for public_id in deleted.keys() | answers.keys():
        accepted, unsure = (answers[public_id][sure] for sure in (True, False))
        if public_id is None or not accepted <= deleted[public_id] <= accepted + unsure:
            yield f"{name}: {accepted} deletions were accepted and {deleted[public_id or UUID(int=0)]} done"


def overwritten_by_none(name: str, runs: list[Row], edits: list[Row]) -> Iterator[str]:
    """Name edits that are marked as overwritten by what did not import, or had done so before."""
    ended = {run["id"]: run["ended"] for run in runs if run["status"] == "succeeded"}
    for edit in edits:
        if edit["run_id"] is not None and ended.get(edit["run_id"], 0.0) < edit["written"]:
            yield f"{name}: edit {edit['id']} is said to be overwritten by an import that did not come later"


def untruths(fault: Fault, probes: list[Probe], struck: float, healed: float) -> Iterator[str]:
    """Name answers of the health that were wrong, of those asked and given between two instants."""
    meanwhile = [probe for probe in probes if struck < probe.sent and probe.answered < healed]
    for (api, status), count in Counter((probe.api, probe.status) for probe in meanwhile).items():
        if status not in fault.says:
            yield f"api-{api} said {status!r} {count} times during {fault.name}"


async def wrong_ends(deployment: Deployment, fault: Fault, since: float) -> list[str]:
    """Name runs that ended since in a failure that the fault does not bring."""
    found = []
    for district in deployment.districts:
        for run in await deployment.query(RUNS, district.name):
            code = run["failure_code"]
            if run["ended"] >= since and run["status"] == "failed" and code not in fault.codes:
                found.append(f"{district.name}: a run failed with {code} because of {fault.name}")
    return found
