"""Use cases; each owns its transactions."""
