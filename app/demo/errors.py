"""The one way in which the demo fails."""


class DemoError(Exception):
    """The demo cannot go on; the message says what happened and what to do."""
