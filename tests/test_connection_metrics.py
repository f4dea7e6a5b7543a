"""What operators are told of connections that scheduled runs do not use."""

import re
from datetime import timedelta

from app.constants import Role
from app.models import ConnectionState, SftpConnection
from app.models.base import utc_now
from tests.support.api import HERE, THERE, Api

HALTED = re.compile(r'^certsync_connections_halted\{state="(\w+)"\} (\d+)\.0$', re.MULTILINE)


async def halted(api: Api) -> dict[str, int]:
    text = (await api.get("/metrics", role=Role.OPS, district="*")).text
    assert "# TYPE certsync_connections_halted gauge" in text
    return {state: int(number) for state, number in HALTED.findall(text)}


def saved(district: str) -> SftpConnection:
    return SftpConnection(
        district_id=district,
        host_encrypted="x",
        port=22,
        username_encrypted="x",
        fingerprint_encrypted="x",
        directory=".",
        updated_by="x",
        version=7,
    )


async def test_connections_that_are_stopped_or_wait(api: Api) -> None:
    later, earlier = utc_now() + timedelta(hours=1), utc_now() - timedelta(hours=1)
    await api.add(saved(HERE), saved(THERE))
    here, there = (ConnectionState(district_id=district, connection_version=7) for district in (HERE, THERE))
    here.stopped_at, there.backing_off_until = earlier, later
    await api.add(here, there)
    assert await halted(api) == {"stopped": 1, "backing_off": 1}

    there.backing_off_until = earlier
    here.connection_version = 6  # another one was saved since
    await api.add(here, there)
    assert await halted(api) == {}
