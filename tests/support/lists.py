"""Rows for lists: few values and many nulls, so that ties abound, and texts that a search can get wrong."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from app.constants import (
    ConnectionAction,
    ConnectionPhase,
    EmployeeStatus,
    FileState,
    RecordSource,
    RunKind,
    RunPhase,
    RunStatus,
    RunTrigger,
    TaskStatus,
)
from app.models import (
    Certification,
    ConnectionEvent,
    Employee,
    Endorsement,
    ImportFile,
    JobClass,
    Run,
    Task,
)
from app.storage.connection_events import place
from tests.support.api import HERE, Api

NOUNS = (
    "runs",
    "tasks",
    "certifications",
    "endorsements",
    "employees",
    "job-classes",
    "connection-events",
    "import-files",
)
TEXTS = ("Nightly", "nightly import", "École 100%", "ÉCOLE_1", "a\\b [x]")
USERS = ("kmarsh", "KMarsh", "Ana Ñuñez")
FAILURES = ("sftp_timeout", "no_file", None)
IDS = (UUID(int=1), UUID(int=2), None)
AT = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
ENDED = (RunStatus.WAITING, RunStatus.SUCCEEDED, RunStatus.FAILED)

Member = TypeVar("Member", bound=StrEnum)


@dataclass
class Seeds:
    """Random rows of one district, in the database and here."""

    api: Api
    random: Random
    district: str = HERE
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By noun and by the key that callers see."""

    async def add(self, noun: str, count: int = 1) -> None:
        for _ in range(count):
            row = await getattr(self, f"_{noun.replace('-', '_')}")()
            await self.api.add(row)
            self.rows.setdefault(noun, {})[self.key(row)] = row

    async def remove(self, noun: str) -> str:
        """Delete any row; return its key."""
        key = self.random.choice(sorted(self.rows[noun]))
        async with self.api.factory.database.write() as session:
            await session.delete(await session.merge(self.rows[noun].pop(key)))
        return key

    @staticmethod
    def key(row: Any) -> str:
        for name in ("employee_number", "public_id", "id", "code"):
            if hasattr(row, name):
                return str(getattr(row, name))
        raise AssertionError(row)

    def pick(self, *values: Any) -> Any:
        return self.random.choice(values)

    def member(self, enum: type[Member]) -> Member:
        return self.random.choice(list(enum))

    def instant(self) -> datetime:
        return AT + timedelta(minutes=self.random.randrange(3))

    def text(self) -> str:
        return self.random.choice(TEXTS)

    def uuid(self) -> UUID:
        return UUID(int=self.random.getrandbits(128))

    async def _runs(self) -> Run:
        file = {
            "file_name": self.text(),
            "file_datestamp": self.pick(None, "2026-01-01T00:00:00"),
            "file_sha256": self.pick("0" * 64, "1" * 64),
            "file_size": 1,
            "file_reused": self.pick(True, False),
        }
        named = self.pick({}, file)
        failure = self.pick(*FAILURES)
        return Run(
            id=self.uuid(),
            district_id=self.district,
            task_description=self.text(),
            kind=self.member(RunKind),
            trigger=self.member(RunTrigger),
            status=self.pick(*ENDED),
            phase=self.pick(None, *RunPhase),
            progress=self.pick(0, 50, 100),
            scheduled_start=self.instant(),
            actual_start=self.pick(None, self.instant()),
            ended_at=self.pick(None, self.instant()),
            run_by=self.pick(*USERS),
            late=self.pick(True, False),
            failure_code=failure,
            failure_message=failure and self.text(),
            report_pdf=self.pick(None, "report.pdf"),
            lists_expired_at=self.pick(None, self.instant()),
            **named,
        )

    async def _tasks(self) -> Task:
        return Task(
            id=self.uuid(),
            district_id=self.district,
            description=self.text(),
            status=self.member(TaskStatus),
            scheduled_start_date=self.pick(None, date(2026, 9, 1), date(9999, 12, 31)),
            time=self.pick(None, time(2, 30), time(23, 59)),
            timezone=self.pick("America/New_York", "Etc/UTC"),
            recurrence=self.pick([], ["mon"], ["mon", "sun"]),
            next_run_at=self.pick(None, self.instant()),
            scheduled_by="kmarsh",
            created_by=self.pick(*USERS),
            updated_by=self.pick(*USERS),
            created_at=self.instant(),
            updated_at=self.instant(),
            version=1,
        )

    async def _employees(self) -> Employee:
        async with self.api.factory.database.write() as session:
            await session.merge(JobClass(district_id=self.district, code="TEACHER", version=1))
        return Employee(
            district_id=self.district,
            employee_number=f"E{self.random.getrandbits(40)}",
            state_staff_id=self.pick(None, "007", "7"),
            last_name=self.text(),
            first_name=self.text(),
            middle_name=self.pick(None, self.text()),
            legal_last_name=self.pick(None, self.text()),
            legal_first_name=self.pick(None, self.text()),
            former_last_name=self.pick(None, self.text()),
            status=self.member(EmployeeStatus),
            job_class=self.pick(None, "TEACHER"),
            version=1,
        )

    def _record(self, of: Employee) -> dict[str, Any]:
        return {
            "public_id": self.uuid(),
            "district_id": self.district,
            "employee_id": of.id,
            "issue_date": self.pick(None, date(2024, 7, 1), date(2025, 7, 1)),
            "expiration_date": self.pick(None, date(2026, 6, 30), date(9999, 12, 31)),
            "source": self.member(RecordSource),
            "run_id": self.pick(*IDS),
            "updated_by": self.pick(*USERS),
            "updated_at": self.instant(),
            "version": 1,
        }

    async def _certifications(self) -> Certification:
        await self.api.add(employee := await self._employees())
        return Certification(
            license_number=self.pick("L1", "L2"),
            license_type=self.pick("", "Level II"),
            status=self.pick("ACT", "UDR", "EXP"),
            **self._record(employee),
        )

    async def _endorsements(self) -> Endorsement:
        await self.api.add(employee := await self._employees())
        record = self._record(employee)
        await self.api.add(certification := Certification(license_number="L1", status="ACT", **record))
        assert certification.id is not None
        return Endorsement(
            certification_id=certification.id,
            code=self.pick("2-05", "11"),
            description=self.pick(None, self.text()),
            limitation=self.pick(None, self.text()),
            is_primary=self.pick(True, False),
            **self._record(employee),
        )

    async def _job_classes(self) -> JobClass:
        return JobClass(
            district_id=self.district,
            code=f"C{self.random.getrandbits(40)}",
            title=self.pick("", self.text()),
            certification_required=self.pick(True, False),
            version=1,
        )

    async def _connection_events(self) -> ConnectionEvent:
        event_id, cipher, failure = self.uuid(), self.api.factory.cipher, self.pick(*FAILURES)
        return ConnectionEvent(
            id=event_id,
            district_id=self.district,
            at=self.instant(),
            action=self.pick(None, *(action.value for action in ConnectionAction)),
            user_id=self.pick(None, *USERS),
            host_encrypted=cipher.encrypt("sftp.state.example", place("host", event_id)),
            port=self.pick(22, 2222),
            username_encrypted=cipher.encrypt("district42", place("username", event_id)),
            phase=self.member(ConnectionPhase),
            succeeded=failure is None,
            failure_code=failure,
            message=self.pick("", self.text()),
            run_id=self.pick(*IDS),
        )

    async def _import_files(self) -> ImportFile:
        return ImportFile(
            id=self.uuid(),
            district_id=self.district,
            name=self.text(),
            datestamp=self.pick("2026-11-20T00:00:00", "2026-11-21T00:00:00"),
            sha256=f"{self.random.getrandbits(256):064x}",
            size=self.pick(1, 2, 3_000_000_000),
            stored_as="x",
            state=self.member(FileState),
            run_id=self.pick(*IDS),
            fetched_at=self.instant(),
        )


async def titles(api: Api, **params: Any) -> list[str]:
    response = await api.get("/job-classes", params=params)
    assert response.status_code == 200, response.text
    return [item["title"] for item in response.json()["items"]]


async def add_titles(api: Api, *texts: str) -> None:
    await api.add(
        *(JobClass(district_id=HERE, code=f"C{at}", title=text, version=1) for at, text in enumerate(texts))
    )
