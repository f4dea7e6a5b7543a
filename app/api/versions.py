"""Versions and keys in requests and answers (api.md, Conventions)."""

from typing import Protocol, TypeVar

from fastapi import Response

from app.errors import FieldError, ValidationFailedError


class Versioned(Protocol):
    """What has a version."""

    version: int


Resource = TypeVar("Resource", bound=Versioned)


def tagged(response: Response, resource: Resource) -> Resource:
    """Return `resource` after giving the response its `ETag`."""
    response.headers["ETag"] = f'"{resource.version}"'
    return resource


def same_key(name: str, in_path: str, in_body: str | None) -> str:
    """Return the key of a PUT, which the body may repeat but not contradict."""
    if in_body not in (None, in_path):
        text = f"differs from the address, which says {in_path}; leave it out or make it the same"
        raise ValidationFailedError(
            f"{name} {text}.", errors=[FieldError(("body", name), text, "key_mismatch")]
        )
    return in_path
