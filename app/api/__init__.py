"""The HTTP API: one router a noun, errors as problems, the OpenAPI document."""
