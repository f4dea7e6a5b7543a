"""The tables. Importing this package declares them all on `SQLModel.metadata`."""

from app.models.audit import AuditAnchor, AuditEvent, AuditPayload, AuditRedaction, AuditSeal
from app.models.certification import Certification, Endorsement
from app.models.connection_event import ConnectionEvent
from app.models.district import District
from app.models.employee import Employee, JobClass
from app.models.file_removal import FileRemoval
from app.models.idempotency_key import IdempotencyKey
from app.models.import_file import ImportFile
from app.models.record_edit import RecordEdit
from app.models.run import Run, RunFinding
from app.models.service_token import ServiceToken, ServiceTokenRead
from app.models.sftp_connection import ConnectionProposal, ConnectionState, SftpConnection
from app.models.task import Task

__all__ = [
    "AuditAnchor",
    "AuditEvent",
    "AuditPayload",
    "AuditRedaction",
    "AuditSeal",
    "Certification",
    "ConnectionEvent",
    "ConnectionProposal",
    "ConnectionState",
    "District",
    "Employee",
    "Endorsement",
    "FileRemoval",
    "IdempotencyKey",
    "ImportFile",
    "JobClass",
    "RecordEdit",
    "Run",
    "RunFinding",
    "ServiceToken",
    "ServiceTokenRead",
    "SftpConnection",
    "Task",
]
