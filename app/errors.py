"""Every failure a caller can meet, each a class with an HTTP status, answered as `application/problem+json`.

No framework is imported here: the API renders these classes. What ends a run is in `app/failures.py`.
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
    explanation = (
        "Send a valid token as `Authorization: Bearer …`: of the identity provider, or a service token."
    )


class ForbiddenError(AppError):
    """The token is good, its role or its scopes do not allow this."""

    slug = "forbidden"
    status = 403
    title = "Not allowed"
    explanation = (
        "Your role, or the scopes of your service token, do not allow this. "
        "Ask an administrator of your district."
    )


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


class SecondPersonNeededError(AppError):
    """Who proposed a change may not confirm it."""

    slug = "second-person-needed"
    status = 409
    title = "Somebody else has to confirm"
    explanation = (
        "Here a change of the pinned host key needs two administrators: one proposes, another confirms it. "
        "Ask a second one to read the connection and to accept the fingerprint."
    )


class RunInProgressError(AppError):
    """A run of the district is in progress or due (I8)."""

    slug = "run-in-progress"
    status = 409
    title = "A run is in progress"
    explanation = "One run at a time works on a district. Follow the one that is named in `run_id`."


class RunNotCancellableError(AppError):
    """The run has ended, or has begun to replace records."""

    slug = "run-not-cancellable"
    status = 409
    title = "Too late to cancel"
    explanation = (
        "A run can be cancelled until it begins to replace records. Read the run to see where it is."
    )


class CertificationUpdateInProgressError(AppError):
    """A run replaces the district's records, so nobody else may write them (I6)."""

    slug = "certification-update-in-progress"
    status = 423
    title = "Locked by an import"
    explanation = (
        "An import is replacing the certifications and endorsements of your district. Nothing was changed. "
        "Try again after the seconds in `Retry-After`; `run_id` names the import."
    )


class PreconditionFailedError(AppError):
    """`If-Match` names a version that is not the current one."""

    slug = "precondition-failed"
    status = 412
    title = "Changed meanwhile"
    explanation = "Somebody changed it since you read it. Read it again and repeat your change."


class RequestTimeoutError(AppError):
    """The head of a request did not arrive in time."""

    slug = "request-timeout"
    status = 408
    title = "Too slow"
    explanation = "The request did not arrive in time. Send it again."


class AddressTooLongError(AppError):
    """The address of a request is longer than the server takes."""

    slug = "address-too-long"
    status = 414
    title = "Address too long"
    explanation = "The address with its parameters is longer than the service takes. Ask for less at a time."


class RateLimitedError(AppError):
    """A token, or an address without one, has sent more requests than it may."""

    slug = "rate-limited"
    status = 429
    title = "Too many requests"
    explanation = (
        "Your token, or your address if you have no valid one, has sent more requests in a short time than "
        "it may. Nothing was changed. Try again after the seconds in `Retry-After`; the header `RateLimit` "
        "of each answer tells how many are left."
    )


class HeadersTooLargeError(AppError):
    """The headers of a request are larger, or more, than the server takes."""

    slug = "headers-too-large"
    status = 431
    title = "Headers too large"
    explanation = "The headers of the request are larger or more than the service takes. Send fewer of them."


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


class IdempotencyKeyReusedError(AppError):
    """An `Idempotency-Key` came back with another request."""

    slug = "idempotency-key-reused"
    status = 422
    title = "Idempotency key used for another request"
    explanation = (
        "A key is for one request: the same method, address and body. Send a new key with a new request."
    )


class ReportNotReadyError(AppError):
    """The report or list has not been made yet."""

    slug = "report-not-ready"
    status = 404
    title = "Not there yet"
    explanation = "It is made when the run has ended. Ask again after the seconds in `Retry-After`."


class ExpiredError(AppError):
    """It was there, and was deleted because it is kept for a time only."""

    slug = "expired"
    status = 410
    title = "Expired"
    explanation = (
        "Lists and PDFs of runs name people, so they are kept for a time that the operator sets, and deleted "
        "then. It does not come back. The run has its figures still."
    )


class ServiceUnavailableError(AppError):
    """A part that the request needs does not answer."""

    slug = "service-unavailable"
    status = 503
    title = "Temporarily unavailable"
    explanation = "A part of the service does not answer. Nothing was changed. Try again shortly."


class OverloadedError(AppError):
    """More is asked of this process at this moment than it takes on."""

    slug = "overloaded"
    status = 503
    title = "Too much at once"
    explanation = (
        "The service has as much to do as it can at this moment. Nothing was changed. Try again after the "
        "seconds in `Retry-After`, and send fewer requests at a time."
    )


class TookTooLongError(AppError):
    """No answer came in time; what becomes of the request is not known."""

    slug = "took-too-long"
    status = 503
    title = "No answer in time"
    explanation = (
        "A part of the service did not answer in time. Whether the request was carried out is not known: "
        "look at what it was to change, or send a POST again with the same `Idempotency-Key`, which is safe."
    )


class ConfigurationError(Exception):
    """The service cannot start as it is set up; the message says what to type or to set."""


class DatabaseCopyError(Exception):
    """A database cannot be copied or backed up as things are; the message says what stands in the way."""
