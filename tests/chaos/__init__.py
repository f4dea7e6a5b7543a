"""Whole real processes under load, struck by faults in every phase of an import; `make chaos` runs it."""
