"""Writes docs/permissions.md from the routes themselves: `python -m scripts.permissions`."""

from pathlib import Path

from app.api.rules import table
from app.main import create_app
from app.settings import Settings

PAGE = Path(__file__).parents[1] / "docs" / "permissions.md"
INTRODUCTION = """# Who may call what

Made by `make openapi` from the routes, and compared by a test. A route needs one scope. People have the
scopes of their role; a service token has those that it was given, out of those marked here. All is about one
district, that of the token; only `ops` and `deployment:read` are about the whole deployment.

"""


def page() -> str:
    """Return the page's text."""
    return INTRODUCTION + table(create_app(Settings()))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
