"""The tables. Importing this package declares them all on `SQLModel.metadata`."""

from app.models.certification import Certification, Endorsement
from app.models.district import District
from app.models.employee import Employee, JobClass
from app.models.idempotency_key import IdempotencyKey
from app.models.import_file import ImportFile
from app.models.record_edit import RecordEdit
from app.models.run import Run, RunFinding
from app.models.sftp_connection import ConnectionEvent, SftpConnection
from app.models.task import Task

__all__ = [
    "Certification",
    "ConnectionEvent",
    "District",
    "Employee",
    "Endorsement",
    "IdempotencyKey",
    "ImportFile",
    "JobClass",
    "RecordEdit",
    "Run",
    "RunFinding",
    "SftpConnection",
    "Task",
]
