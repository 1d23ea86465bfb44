"""What the host knows of processes: who belongs to a process group."""

from __future__ import annotations

import subprocess
from pathlib import Path

_PROC = Path("/proc")


def group_members(group: int) -> list[int]:
    """Return the pids of the living processes in process group `group` (zombies do not live)."""
    table = _from_proc() if (_PROC / "self" / "stat").exists() else _from_ps()
    return [pid for pid, pgid, state in table if pgid == group and not state.startswith("Z")]


def _from_proc() -> list[tuple[int, int, str]]:
    table: list[tuple[int, int, str]] = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue  # it ended between the listing and the reading
        # pid (command) state ppid pgrp ...; the command may hold blanks and parentheses
        state, _parent, pgrp = stat.rpartition(")")[2].split()[:3]
        table.append((int(entry.name), int(pgrp), state))
    return table


def _from_ps() -> list[tuple[int, int, str]]:
    listing = subprocess.run(
        ["ps", "-axo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True
    ).stdout
    rows = (line.split() for line in listing.splitlines())
    return [(int(pid), int(pgid), state) for pid, pgid, state in rows]
