"""Builds, once, what requests and jobs need; the one place that knows how parts are wired."""

from app.crypto import load_cipher, load_signing_key
from app.database import CONNECTIONS, WATCHING, Database
from app.import_lock import ImportLock
from app.job_queue import JobQueue
from app.metrics import RequestMetrics, RunMetrics
from app.services.certifications import CertificationService
from app.services.districts import DistrictService
from app.services.employees import EmployeeService
from app.services.endorsements import EndorsementService
from app.services.health import HealthService
from app.services.import_files import ImportFileService
from app.services.job_classes import JobClassService
from app.services.metrics import MetricsService
from app.services.record_editing import RecordEditing
from app.services.run_events import RunEvents
from app.services.run_execution import RunExecution
from app.services.run_reporting import RunReporting
from app.services.runs import RunService
from app.services.schedule import Schedule
from app.services.sftp_connection import SftpConnectionService
from app.services.tasks import TaskService
from app.settings import Settings
from app.storage.file_store import FileStore, LocalStore
from app.storage.object_store import ObjectStore
from app.telemetry import RunTelemetry
from app.tracing import Tracing


class Factory:
    """The parts of one process, API or worker. Raises ConfigurationError when one cannot be built.

    `statement_limit` and `connections` are those of `Database`: the first for who answers requests, not for
    who imports. `tracing` is that of the web framework, which makes its spans before there is a factory.
    """

    def __init__(
        self,
        settings: Settings,
        tracing: Tracing | None = None,
        statement_limit: int | None = None,
        connections: tuple[int, int] = CONNECTIONS,
    ) -> None:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.settings = settings
        self.signing_key = load_signing_key(settings)
        self.cipher = load_cipher(settings)
        self.database = Database(settings, statement_limit, connections)
        self.watching = Database(settings, statement_limit, WATCHING)
        self.queue = JobQueue(settings)
        self.tracing = tracing or Tracing()
        self.request_metrics = RequestMetrics()
        self.run_metrics = RunMetrics()
        telemetry = RunTelemetry(self.run_metrics, self.tracing)
        self.import_lock = ImportLock(settings, telemetry.lock_window)
        self.files: FileStore = (
            ObjectStore(settings) if settings.storage_url else LocalStore(settings.data_dir)
        )
        self.districts = DistrictService(self.database, settings)
        self.health = HealthService(self.watching, self.queue, self.files)
        self.metrics = MetricsService(self.watching, self.health)
        self.tasks = TaskService(self.database)
        self.schedule = Schedule(self.database, self.queue)
        self.runs = RunService(self.database, self.queue, self.cipher, self.files)
        self.run_events = RunEvents(self.runs)
        self.execution = RunExecution(
            self.database, settings, self.cipher, self.files, self.import_lock, telemetry
        )
        self.reporting = RunReporting(self.database, settings, self.files, telemetry)
        self.editing = RecordEditing(self.database, self.import_lock)
        self.employees = EmployeeService(self.database)
        self.job_classes = JobClassService(self.database)
        self.certifications = CertificationService(self.database, self.editing)
        self.endorsements = EndorsementService(self.database, self.editing)
        self.connections = SftpConnectionService(self.database, self.cipher, settings)
        self.import_files = ImportFileService(self.database)

    async def close(self) -> None:
        """Close every connection."""
        await self.queue.close()
        await self.import_lock.close()
        await self.database.close()
        await self.watching.close()
        await self.tracing.close()
