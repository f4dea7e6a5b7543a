"""The console script `certsync`."""

from app.cli.main import main

__all__ = ["main"]
