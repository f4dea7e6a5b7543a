"""`make fuzz`: what nobody would think of, for longer than CI has time; `tests/test_fuzz.py` is short."""
