"""What the tests of connections share; they run on the server's event loop, uvloop, and on Python's own."""

import asyncio
from collections.abc import Callable, Mapping

import uvloop

from tests.support.echo_server import served

__all__ = ["pytest_asyncio_loop_factories", "served"]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tell pytest-asyncio on which event loops a test of this directory runs."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
