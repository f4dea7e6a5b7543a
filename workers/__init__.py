"""The arq worker: one job a file."""
