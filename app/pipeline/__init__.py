"""The steps of an import, one file each; `run.py` knows their order."""
