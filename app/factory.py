"""Builds, once, what requests and jobs need; the one place that knows how parts are wired."""

import asyncio
from collections.abc import Mapping
from typing import Any

from app.crypto import load_cipher
from app.database import CONNECTIONS, WATCHING, Database
from app.import_lock import ImportLock
from app.job_queue import JobQueue
from app.metrics import RequestMetrics, RunMetrics
from app.pipeline.attempts import Attempts
from app.pipeline.fetch import Fetcher
from app.rate_limits import RateLimits
from app.services.audit import AuditService
from app.services.audit_verification import AuditVerification
from app.services.authentication import Authentication
from app.services.certifications import CertificationService
from app.services.connection_events import ConnectionEventService
from app.services.connection_trials import ConnectionTrials
from app.services.districts import DistrictService
from app.services.employees import EmployeeService
from app.services.encryption_keys import EncryptionKeys
from app.services.endorsements import EndorsementService
from app.services.health import HealthService
from app.services.import_files import ImportFileService
from app.services.job_classes import JobClassService
from app.services.metrics import MetricsService
from app.services.person_erasure import PersonErasure
from app.services.personal_data import PersonalData
from app.services.record_editing import RecordEditing
from app.services.retention import Retention
from app.services.run_events import RunEvents
from app.services.run_execution import RunExecution
from app.services.run_reporting import RunReporting
from app.services.runs import RunService
from app.services.schedule import Schedule
from app.services.service_tokens import ServiceTokenService
from app.services.sftp_connection import SftpConnectionService
from app.services.tasks import TaskService
from app.services.token_reads import TokenReads
from app.settings import Settings
from app.storage.connection_events import OpenedEvent
from app.storage.download_folder import DownloadFolder
from app.storage.file_store import FileStore, LocalStore
from app.storage.object_store import ObjectStore
from app.syslog import SyslogSender
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
        self.cipher = load_cipher(settings)
        self.database = Database(settings, statement_limit, connections)
        self.watching = Database(settings, statement_limit, WATCHING)
        self.authentication = Authentication(settings, self.database, self.watching)
        self.queue = JobQueue(settings)
        self.rate_limits = RateLimits(settings) if settings.rate_limit else None
        self.tracing = tracing or Tracing()
        self.request_metrics = RequestMetrics()
        self.run_metrics = RunMetrics()
        telemetry = RunTelemetry(self.run_metrics, self.tracing)
        self.import_lock = ImportLock(settings, telemetry.lock_window)
        self.files: FileStore = (
            ObjectStore(settings) if settings.storage_url else LocalStore(settings.data_dir)
        )
        self.districts = DistrictService(self.database, settings)
        self.health = HealthService(self.watching, self.queue, self.files, self.authentication.provider_keys)
        self.metrics = MetricsService(self.watching, self.health)
        self.tasks = TaskService(self.database)
        self.schedule = Schedule(self.database, self.queue)
        self.runs = RunService(self.database, self.queue, self.cipher, self.files)
        self.run_events = RunEvents(self.runs)
        self.syslog = SyslogSender(settings.syslog_address) if settings.syslog_address else None
        self.attempts = Attempts(self.database, self.cipher, settings, self._tell)
        fetcher = Fetcher(self.database, settings, self.attempts, DownloadFolder(self.files))
        self.execution = RunExecution(
            self.database, settings, self.cipher, fetcher, self.import_lock, telemetry
        )
        self.reporting = RunReporting(self.database, settings, self.files, telemetry)
        self.editing = RecordEditing(self.database, self.import_lock)
        self.employees = EmployeeService(self.database)
        self.job_classes = JobClassService(self.database)
        self.certifications = CertificationService(self.database, self.editing)
        self.endorsements = EndorsementService(self.database, self.editing)
        self.connections = SftpConnectionService(self.database, self.cipher, settings, self.attempts)
        self.trials = ConnectionTrials(self.database, self.attempts)
        self.connection_events = ConnectionEventService(self.database, self.cipher, settings)
        self.service_tokens = ServiceTokenService(self.database)
        self.import_files = ImportFileService(self.database)
        self.audit = AuditService(self.database, settings, self._send)
        self.audit_verification = AuditVerification(self.database)
        self.token_reads = TokenReads(self.database, settings)
        self.retention = Retention(self.database, settings, self.files)
        self.personal_data = PersonalData(self.database, settings, self.files)
        self.person_erasure = PersonErasure(
            self.database, settings, self.files, self.import_lock, self.personal_data, self.retention
        )
        self.keys = EncryptionKeys(self.database, self.cipher)

    def _tell(self, event: OpenedEvent) -> None:
        """Send a security event to whoever keeps them elsewhere."""
        self._send(event.record())

    def _send(self, record: Mapping[str, Any]) -> None:
        if self.syslog is not None:
            self.syslog.send(record)

    async def close(self) -> None:
        """Close every connection."""
        await self.authentication.close()
        if self.syslog is not None:
            await asyncio.to_thread(self.syslog.close)
        await self.queue.close()
        if self.rate_limits:
            await self.rate_limits.close()
        await self.import_lock.close()
        await self.database.close()
        await self.watching.close()
        await self.tracing.close()
