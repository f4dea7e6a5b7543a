"""What a file must not be, checked before anything is deleted (I13)."""

from app.failures import TooManyRejectedRows, TooMuchShrink
from app.pipeline.parse import RowCounts

LEAST_LOST = 10
"""So few employees may lose every licence without a question, however small the district."""


def check_rejected(counts: RowCounts, percent: float) -> None:
    """Raise TooManyRejectedRows when more than `percent` of the rows were rejected."""
    if counts.rejected * 100 > percent * counts.read:
        raise TooManyRejectedRows(
            f"{counts.rejected:,} of {counts.read:,} rows cannot be read, more than {percent:g} %. "
            "Nothing was changed. The list of rejected rows says what is wrong with each; ask the state for "
            "a correct file."
        )


def check_shrink(holders: int, lost: int, percent: float, *, accepted: bool) -> None:
    """Raise TooMuchShrink when too many of the employees who hold a certification would hold none.

    `holders` are active employees with a certification now, `lost` those of them who would have none.
    """
    if accepted or lost < LEAST_LOST or lost * 100 <= percent * holders:
        return
    raise TooMuchShrink(
        f"{lost:,} of the {holders:,} employees who hold a certification would hold none after this import, "
        f"more than {percent:g} %. Nothing was changed. Check that the file is complete; if it is right, run "
        "the import again and accept it (accept_shrink, or --accept-shrink)."
    )
