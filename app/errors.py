"""Every failure a caller or an administrator can meet, each a class with a code and an HTTP status.

Two families share one base. `AppError` children are answered by the API as `application/problem+json`;
`RunFailure` children end a run, and their `code` is what `failure.code` shows. No framework is imported
here: the API renders these classes, the worker stores them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One fault in a request body: where it is, what to do, and a machine-readable type."""

    loc: tuple[str | int, ...]
    msg: str
    type: str = "value_error"

    def as_dict(self) -> dict[str, Any]:
        """Return the shape that api.md fixes for an item of `errors`."""
        return {"loc": list(self.loc), "msg": self.msg, "type": self.type}


class AppError(Exception):
    """Base of all expected failures; `detail` is a sentence for the person who has to act on it.

    `slug` names the problem page (`/problems/<slug>`), `title` and `explanation` fill it.
    """

    slug: ClassVar[str] = "internal-error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    explanation: ClassVar[str] = "Something went wrong on our side. Nothing was changed. Try again."

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


class BadRequestError(AppError):
    """The request cannot be read at all."""

    slug = "bad-request"
    status = 400
    title = "Bad request"
    explanation = "The body could not be read, for example because it is not valid UTF-8 or not JSON."


class UnauthorizedError(AppError):
    """No token, or one that does not verify."""

    slug = "unauthorized"
    status = 401
    title = "Not signed in"
    explanation = "Send a valid token as `Authorization: Bearer …`. `certsync token` issues one."


class ForbiddenError(AppError):
    """The token is good, its role may not do this."""

    slug = "forbidden"
    status = 403
    title = "Not allowed"
    explanation = "Your role does not allow this. Ask an administrator of your district for another role."


class NotFoundError(AppError):
    """There is no such thing in the caller's district."""

    slug = "not-found"
    status = 404
    title = "Not found"
    explanation = "It does not exist in your district: check the address, or it was deleted meanwhile."


class MethodNotAllowedError(AppError):
    """The path exists, the method does not."""

    slug = "method-not-allowed"
    status = 405
    title = "Method not allowed"
    explanation = "This address does not answer to this method; the `Allow` header names those it has."


class ConflictError(AppError):
    """The request contradicts what is stored."""

    slug = "conflict"
    status = 409
    title = "Conflict"
    explanation = "The request contradicts what is stored. The detail says what stands in the way."


class RunInProgressError(AppError):
    """A run of the district is in progress or due (I8)."""

    slug = "run-in-progress"
    status = 409
    title = "A run is in progress"
    explanation = "One run at a time works on a district. Follow the one that is named in `run_id`."


class PreconditionFailedError(AppError):
    """`If-Match` names a version that is not the current one."""

    slug = "precondition-failed"
    status = 412
    title = "Changed meanwhile"
    explanation = "Somebody changed it since you read it. Read it again and repeat your change."


class PayloadTooLargeError(AppError):
    """The body is larger than the server takes."""

    slug = "payload-too-large"
    status = 413
    title = "Too large"
    explanation = "The body is larger than the service takes. Send it in smaller parts."


class ValidationFailedError(AppError):
    """A field of the request is wrong; `errors` locates each."""

    slug = "validation-failed"
    status = 422
    title = "Invalid input"
    explanation = "One or more fields are wrong; `errors` has the place and the reason of each."


class ReportNotReadyError(AppError):
    """The report or list has not been made yet."""

    slug = "report-not-ready"
    status = 404
    title = "Not there yet"
    explanation = "It is made when the run has ended. Ask again after the seconds in `Retry-After`."


class ServiceUnavailableError(AppError):
    """A part that the request needs does not answer."""

    slug = "service-unavailable"
    status = 503
    title = "Temporarily unavailable"
    explanation = "A part of the service does not answer. Nothing was changed. Try again shortly."


class ConfigurationError(Exception):
    """The service cannot start as it is set up; the message says what to type or to set."""


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


class InternalFailure(RunFailure):
    """A fault of our own; the log has the run id and the traceback."""

    code = "internal_error"
