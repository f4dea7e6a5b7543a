"""Every failure that ends a run, each a class whose `code` is what `failure.code` of the run shows."""

from collections.abc import Mapping
from typing import Any, ClassVar


class RunFailure(Exception):  # noqa: N818 - it is how a run ends, and `failed` is its status
    """Ends a run as `failed`; `code` is one of api.md's and `message` is for a district administrator.

    `connection` marks the failures of I10, which get an error log of their own; `refuses_file` those for
    which the fetched file is put aside for a look (I2).
    `diagnosis` holds what an administrator needs to find the cause; never a secret or a person's data.
    """

    code: ClassVar[str] = "internal_error"
    connection: ClassVar[bool] = False
    refuses_file: ClassVar[bool] = False

    def __init__(self, message: str, *, diagnosis: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.diagnosis = dict(diagnosis or {})


class SftpNotConfigured(RunFailure):
    """No connection was saved for the district."""

    code = "sftp_not_configured"


class SftpDirectoryNotFound(RunFailure):
    """The directory does not exist on the server, or may not be read."""

    code = "sftp_directory_not_found"


class SftpAuthFailed(RunFailure):
    """The server refused user, password or key."""

    code = "sftp_auth_failed"
    connection = True


class SftpFingerprintMismatch(RunFailure):
    """The server showed a host key that is not the pinned one; no credential was sent."""

    code = "sftp_fingerprint_mismatch"
    connection = True


class SftpUnreachable(RunFailure):
    """The name does not resolve, the port refuses, or no common algorithm exists."""

    code = "sftp_unreachable"
    connection = True


class SftpTimeout(RunFailure):
    """The server was too slow to connect, to log in or to deliver."""

    code = "sftp_timeout"
    connection = True


class SftpInterrupted(RunFailure):
    """The connection ended in the middle, or fewer bytes arrived than the server stated."""

    code = "sftp_interrupted"
    connection = True


class NoFile(RunFailure):
    """There is no recognisable licence file, neither at the state nor retained (I2)."""

    code = "no_file"


class FileChangedWhileRead(RunFailure):
    """The file's size or time changed during the download: it is still being written."""

    code = "file_changed_while_read"


class FileUnreadable(RunFailure):
    """Not text, not a licence file, or without a single data row."""

    code = "file_unreadable"
    refuses_file = True


class FileMissingColumns(RunFailure):
    """A required column is not in the header."""

    code = "file_missing_columns"
    refuses_file = True


class FileTooLarge(RunFailure):
    """The file is over `MAX_FILE_BYTES`."""

    code = "file_too_large"


class TooManyRejectedRows(RunFailure):
    """More rows than `MAX_REJECTED_PERCENT` were rejected."""

    code = "too_many_rejected_rows"
    refuses_file = True


class TooMuchShrink(RunFailure):
    """More than `MAX_SHRINK_PERCENT` of the licensed employees would hold none."""

    code = "too_much_shrink"
    refuses_file = True


class WorkerLost(RunFailure):
    """The worker of the run died."""

    code = "worker_lost"


class DatabaseFailed(RunFailure):
    """The database refused or was lost."""

    code = "database_error"


class StorageFailed(RunFailure):
    """The place of retained files and reports cannot be reached, or refuses."""

    code = "storage_error"


class InternalFailure(RunFailure):
    """A fault of our own; the log has the run id and the traceback."""

    code = "internal_error"
