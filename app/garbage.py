"""Python's cyclic garbage collector, set for a process that handles millions of short-lived rows."""

import gc

THRESHOLDS = (20_000, 10, 10)
"""Objects more than before until the youngest are looked through; Python's own 700 is a third of a parse."""


def collect_less() -> None:
    """Look for cyclic garbage less often, and never among what is there now: modules and what they hold."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
