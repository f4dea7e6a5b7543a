"""Lets `python -m app.cli` be what `certsync` is."""

from app.cli import main

main()
