"""Profiles and strategies of the tests that `make fuzz` repeats with more examples."""

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

Test = TypeVar("Test", bound=Callable[..., Any])
ANY = st.text(st.characters(exclude_categories=()))
"""Half characters, control characters and all."""
ODD = st.sampled_from(
    "\0\t\n\r\v\f\x1b\x1c\x85\x9b\xa0\u00ad\u200b\u2028\u202e\ufeff\uff1d\udc80\ud800\U0001f600"
)
SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


def same(test: Test) -> Test:
    """Let a test have what the profile in use says, on a machine that may be busy.

    Not a constant: this module is there before the profile of the command line is.
    """
    return settings(suppress_health_check=SHARED, deadline=None)(test)


def register_profiles() -> None:
    """Tell hypothesis of our profiles, before it reads its options.

    `make test` tries the same examples each time, so that no change fails for what it did not touch; others
    are tried by `make fuzz`.
    """
    settings.register_profile("same", derandomize=True)
    settings.load_profile("same")
    settings.register_profile(
        "fuzz", max_examples=500, deadline=None, database=None, suppress_health_check=SHARED
    )
