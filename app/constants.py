"""The closed vocabularies of the contract: one spelling for database, pipeline and API."""

from enum import StrEnum


class EmployeeStatus(StrEnum):
    """Only active employees are matched (I3)."""

    ACTIVE = "active"
    TERMINATED = "terminated"


class TaskStatus(StrEnum):
    """Only active tasks are run by the schedule (I7)."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class RunKind(StrEnum):
    """A preview does everything but the replace (I14)."""

    IMPORT = "import"
    PREVIEW = "preview"


class RunTrigger(StrEnum):
    """What made the run."""

    SCHEDULE = "schedule"
    RUN_NOW = "run_now"


class RunStatus(StrEnum):
    """The life of a run (I9)."""

    WAITING = "waiting"
    IN_PROGRESS = "in_progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL_STATUSES = (RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED)


class RunPhase(StrEnum):
    """The steps of a run, in their order."""

    FETCH = "fetch"
    PARSE = "parse"
    MATCH = "match"
    REPLACE = "replace"
    REPORT = "report"


class RecordSource(StrEnum):
    """Who wrote a certification or an endorsement last."""

    IMPORT = "import"
    MANUAL = "manual"


class RecordKind(StrEnum):
    """The two nouns that an import replaces and HR edits."""

    CERTIFICATION = "certification"
    ENDORSEMENT = "endorsement"


class EditAction(StrEnum):
    """What a person did to a record."""

    ADDED = "added"
    CHANGED = "changed"
    DELETED = "deleted"


class Role(StrEnum):
    """What a token may do; api.md, Roles."""

    VIEWER = "viewer"
    HR = "hr"
    ADMIN = "admin"
    OPS = "ops"


class FindingKind(StrEnum):
    """The lists of a run's report."""

    SKIPPED = "skipped"
    OTHER_NAME = "other_name"
    REJECTED = "rejected"
    DISAGREEMENT = "disagreement"
    OVERWRITTEN = "overwritten"
    MISSING = "missing_certification"
    EXPIRED = "expired"
    BLANK_DATES = "blank_dates"
    CHANGE = "change"
    WARNING = "warning"


class FileState(StrEnum):
    """Where a fetched licence file stands (I2)."""

    RETAINED = "retained"
    QUARANTINED = "quarantined"


class ConnectionPhase(StrEnum):
    """How far an SFTP attempt came."""

    CONNECT = "connect"
    HOST_KEY = "host_key"
    AUTHENTICATE = "authenticate"
    LIST = "list"
    DOWNLOAD = "download"


class ConnectionAction(StrEnum):
    """What a connection event tells of: an attempt, or what became of the connection's settings."""

    RUN = "run"
    TEST = "test"
    SCAN = "scan"
    SAVED = "saved"
    ANNOUNCED_SEEN = "announced_key_seen"
    PROPOSED = "change_proposed"
    CONFIRMED = "change_confirmed"
    REJECTED = "change_rejected"
    ACCEPTED = "host_key_accepted"


class AuditInterface(StrEnum):
    """Over what a change came; `service` is what the service does by itself."""

    API = "api"
    CLI = "cli"
    IMPORT = "import"
    SERVICE = "service"


class AuditRecord(StrEnum):
    """The kinds of record that the audit trail tells of."""

    CERTIFICATION = "certification"
    ENDORSEMENT = "endorsement"
    EMPLOYEE = "employee"
    JOB_CLASS = "job_class"
    DISTRICT = "district"
    TASK = "task"
    RUN = "run"
    SFTP_CONNECTION = "sftp_connection"
    SERVICE_TOKEN = "service_token"  # noqa: S105 - a noun
    ENCRYPTION_KEYS = "encryption_keys"
    AUDIT_EVENTS = "audit_events"


class AuditAction(StrEnum):
    """What was done to a record; of a connection under the names of its events."""

    ADDED = "added"
    CHANGED = "changed"
    DELETED = "deleted"
    PAUSED = "paused"
    RESUMED = "resumed"
    STARTED = "started"
    CANCELLED = "cancelled"
    ENDED = "ended"
    SAVED = "saved"
    PROPOSED = "change_proposed"
    CONFIRMED = "change_confirmed"
    REJECTED = "change_rejected"
    ACCEPTED = "host_key_accepted"
    REVOKED = "revoked"
    ROTATED = "rotated"
    DISCARDED = "discarded"
    REDACTED = "redacted"
    EXPORTED = "exported"
    ERASED = "erased"
    FORGOTTEN = "forgotten"


class Pin(StrEnum):
    """The two fingerprints that a host key may have (B4)."""

    CURRENT = "current"
    ANNOUNCED = "announced"


class ConnectionStanding(StrEnum):
    """Whether runs use the connection."""

    OK = "ok"
    BACKING_OFF = "backing_off"
    STOPPED = "stopped"


IMPORTED_STATUSES = ("ACT", "UDR")
"""Licence statuses that are imported, the preferred first (I4); a layout may name others for its state."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""Days of a recurrence, in ISO order."""

WORKER_KEYS = "certsync:worker:"
"""Prefix of the keys under which live workers report to Redis."""

EVERY_DISTRICT = "*"
"""District of a token of the role `ops`, which sees the whole deployment and no personal data."""

DEFAULT_DISTRICT = "default"
"""The newcomer's district (I15)."""
