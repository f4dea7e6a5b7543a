"""`If-Match`: a change is made only to the version that its author has seen."""

from app.errors import PreconditionFailedError


def check_if_match(if_match: str | None, version: int | None) -> None:
    """Raise PreconditionFailedError unless the header, if there is one, names the current `version`.

    `version` is None for what does not exist; `*` matches whatever does. Weak tags never match (RFC 9110,
    section 13.1.1).
    """
    if if_match is None:
        return
    tags = {tag.strip() for tag in if_match.split(",")}
    if version is None:
        raise PreconditionFailedError("It does not exist (any more), but `If-Match` names a version of it.")
    if "*" not in tags and f'"{version}"' not in tags:
        raise PreconditionFailedError(
            f'It is at version "{version}" now, which `If-Match` does not name. Read it again.'
        )
