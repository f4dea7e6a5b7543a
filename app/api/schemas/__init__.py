"""Shapes of request and response bodies, one file a noun."""
