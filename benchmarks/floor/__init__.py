"""The floor of an import: OpenSSH's client fetches the file, and the database's own shell does the rest."""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from app.settings import Settings
from benchmarks.server import FileServer

SCRIPTS = Path(__file__).parent


@dataclass(frozen=True)
class Floor:
    """A database of its own with the same people; the SQL beside this file keeps its records."""

    settings: Settings

    def lacking(self) -> list[str]:
        """Return the programs that it needs and this machine does not have."""
        shell = "sqlite3" if self.settings.database_url is None else "psql"
        return [name for name in ("sftp", shell) if shutil.which(name) is None]

    def run(self, server: FileServer, scratch: Path) -> dict[str, float]:
        """Import the server's file; return the seconds of each step, nothing without the programs for it."""
        if self.lacking():
            return {}
        began = time.time()
        file = server.get(scratch / "floor.csv")
        ends = {"fetch": time.time()}
        if self.settings.database_url is None:
            (scratch / "floor.db").unlink(missing_ok=True)
            command = ["sqlite3", "-separator", " ", str(self.settings.data_dir / "certsync.db")]
            source = SCRIPTS / "sqlite.sql"
        else:
            url = self.settings.database_url.get_secret_value()
            command = ["psql", "-XAt", "-F", " ", url, "-f", str(SCRIPTS / "postgresql.sql")]
            source = file
        with source.open("rb") as stream:
            done = subprocess.run(
                command, cwd=scratch, stdin=stream, check=True, capture_output=True, text=True
            )
        for line in done.stdout.splitlines():
            step, _, at = line.partition(" ")
            if at:
                ends[step] = float(at)
        seconds = {"total": time.time() - began}
        for step, end in ends.items():
            seconds[step] = end - began
            began = end
        return seconds
