"""What came at once is handed to the library in pieces, and none behind the end of the connection."""

from typing import Any

from app.storage.ssh_connection import _PIECE, _in_pieces


def test_nothing_behind_the_end_of_a_connection_is_looked_at() -> None:
    class Connection:
        def __init__(self) -> None:
            self.taken: list[bytes] = []

        def data_received(self, data: bytes) -> None:
            self.taken.append(data)

        def get_extra_info(self, name: str) -> object:
            return None if name == "socket" and b"end" in self.taken[-1] else object()

    connection: Any = Connection()
    hand_over = _in_pieces(connection)
    hand_over(b"short")
    hand_over(b"a" * _PIECE + b"end" * _PIECE)
    assert connection.taken == [b"short", b"a" * _PIECE, (b"end" * _PIECE)[:_PIECE]]
