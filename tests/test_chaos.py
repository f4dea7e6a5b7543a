"""The short form of `make chaos`; and its audit, which has to find what is lost when something is."""

import time
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from tests.chaos.audit import overwritten_by_none, unlike, unlogged, untruths
from tests.chaos.deployment import deployed
from tests.chaos.districts import WATCHED_TYPE, ChaosDistrict, Fields
from tests.chaos.faults import FAULTS
from tests.chaos.load import Probe, Write, mixture
from tests.chaos.rounds import chaos, shut
from tests.chaos.table import Outcome, table

SEED = 4
PATIENCE = 2.0
"""The other tests keep the machine busy; with time to itself, `make chaos` has the limits as promised."""
BLOWS = [
    ("sftp-cut", "fetch"),
    ("redis-flush", "replace"),
    ("kill", "replace"),
    ("postgres-crash", "match"),
]
"""In this order: what is struck later needs a worker that is left. `test_recovery_limits.py` stops one."""

# redis 5.3 deprecates names that arq 0.28 uses.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")


@pytest.mark.timeout(400)
async def test_nothing_is_lost(tmp_path: Path) -> None:
    async with (
        deployed(tmp_path, districts=4, size=60, strangers=2_000) as deployment,
        chaos(deployment, SEED, PATIENCE) as struck,
    ):
        blows = [(FAULTS[fault], phase) for fault, phase in BLOWS]
        outcomes = [await struck.burst(blows), await struck.clean()]
        assert sum(write.accepted for write in struck.load.writes) > 50
        assert struck.load.reads["read"] > 20
    assert not [outcome for outcome in outcomes if outcome.lost or outcome.wrong], table(outcomes)


@pytest.fixture
def district(tmp_path: Path) -> ChaosDistrict:
    return ChaosDistrict("d", 20, 0, tmp_path, tmp_path)


def test_audit_finds_records_that_are_missing_mixed_or_too_many(district: ChaosDistrict) -> None:
    text, other = district.files
    runs = [{"status": "succeeded", "file_sha256": text.digest}]
    good = (text.certifications, text.endorsements)
    assert not list(unlike(district, runs, [], good))
    some = next(iter(text.certifications))
    changed = next(
        key for key, value in other.certifications.items() if text.certifications.get(key) != value
    )
    for bad in (
        {key: value for key, value in text.certifications.items() if key != some},
        text.certifications | {changed: other.certifications[changed]},
        text.certifications | {UUID(int=1): text.certifications[some]},
    ):
        assert len(list(unlike(district, runs, [], (bad, text.endorsements)))) == 1
    assert len(list(unlike(district, runs, [], (text.certifications, other.endorsements)))) == 1


def test_audit_finds_an_edit_that_is_not_there_and_one_that_outlived_an_import(
    district: ChaosDistrict,
) -> None:
    (text, _), key = district.files, district.writable[0]
    runs = [{"status": "succeeded", "file_sha256": text.digest}]
    old = dict(zip(Fields, text.certifications[key], strict=True))
    edit = {"id": 1, "run_id": None, "record": "certification", "public_id": key, **old}
    edit |= {"before": old, "after": old | {"status": "W1"}, "action": "changed"}
    new = tuple((old | {"status": "W1"})[name] for name in Fields)
    written = (text.certifications | {key: new}, text.endorsements)
    assert not list(unlike(district, runs, [edit], written))
    assert list(unlike(district, runs, [edit], (text.certifications, text.endorsements)))
    assert list(unlike(district, runs, [], written))
    assert list(unlike(district, runs, [edit | {"before": old | {"status": "W0"}}], written))


def test_audit_finds_lost_writes_and_refused_ones_with_an_effect() -> None:
    key = UUID(int=7)
    edit = {"record": "certification", "public_id": key, "action": "changed", "after": {"status": "W1"}}
    write = Write("d", "change", key, "W1", 0.0, 1.0, 200)
    assert not list(unlogged("d", [write], [edit]))
    assert "is lost" in next(unlogged("d", [write], []))
    assert "is written" in next(unlogged("d", [replace(write, status=423)], [edit]))
    assert "nobody sent" in next(unlogged("d", [], [edit]))
    deleted = edit | {"action": "deleted", "after": None}
    deletion = replace(write, kind="delete", status=204)
    assert not list(unlogged("d", [deletion], [deleted]))
    assert list(unlogged("d", [deletion], []))
    assert list(unlogged("d", [replace(deletion, status=423)], [deleted]))
    assert not list(unlogged("d", [replace(deletion, status=0)], []))


def test_audit_finds_an_edit_that_no_later_import_went_over() -> None:
    run = {"id": "r", "status": "succeeded", "ended": 10.0}
    assert not list(overwritten_by_none("d", [run], [{"id": 1, "run_id": "r", "written": 9.0}]))
    assert list(overwritten_by_none("d", [run], [{"id": 1, "run_id": "r", "written": 11.0}]))
    failed = run | {"status": "failed"}
    assert list(overwritten_by_none("d", [failed], [{"id": 1, "run_id": "r", "written": 9.0}]))


def test_health_that_does_not_tell_the_truth_is_found() -> None:
    down = FAULTS["postgres-crash"]
    assert not list(untruths(down, [Probe(0, 2.0, 3.0, "unavailable")], 1.0, 4.0))
    assert list(untruths(down, [Probe(0, 2.0, 3.0, "ready")], 1.0, 4.0))
    assert not list(untruths(down, [Probe(0, 2.0, 5.0, "ready")], 1.0, 4.0))


def test_a_mixture_on_a_page_is_found(district: ChaosDistrict) -> None:
    def page(number: int) -> list[dict[str, object]]:
        return [
            {"id": str(key), "source": "import", **dict(zip(Fields, content, strict=True))}
            for key, content in district.files[number].certifications.items()
            if content[2] == WATCHED_TYPE
        ]

    one, other = page(0), page(1)
    assert not mixture(district, {"items": one, "next_cursor": None})
    assert mixture(district, {"items": one[:-4] + other[-4:], "next_cursor": None})
    assert mixture(district, {"items": one[:10], "next_cursor": None})
    assert mixture(district, {"items": one, "next_cursor": "more"})


def test_longest_time_that_writers_were_kept_out(district: ChaosDistrict) -> None:
    now = time.time()
    writes = [
        Write("d", "change", None, "", now, now + at, status) for at, status in ((1, 200), (5, 423), (9, 204))
    ]
    assert shut(writes, district, now, now + 10) == pytest.approx(8)
    assert shut([], district, now, now + 10) == pytest.approx(10)


def test_table_adds_up_and_names_what_was_not_run() -> None:
    outcomes = [Outcome("kill", "replace", ["x"], writers=2), Outcome("kill", "replace", writers=9)]
    lines = table(outcomes, [("disk-full", "needs root")]).splitlines()
    assert lines[2].split() == ["kill", "replace", "2", "1", "0", "9.0", "0.0", "0.0"]
    assert lines[-1] == "disk-full: not run: needs root"
