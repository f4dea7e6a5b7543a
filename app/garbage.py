"""Python's cyclic garbage collector, set for processes that live long or handle millions of rows."""

import gc

THRESHOLDS = (20_000, 10, 10)
"""Objects more than before until the youngest are looked through; Python's own 700 is a third of a parse."""


def freeze() -> None:
    """Leave what is there now, modules and what they hold, out of every search for garbage."""
    gc.collect()
    gc.freeze()


def collect_less() -> None:
    """Freeze, and look for cyclic garbage less often: rows come and go without any."""
    freeze()
    gc.set_threshold(*THRESHOLDS)
