"""What a process tree uses, and what a core does, as Linux tells it in /proc."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND: int = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """The fields of /proc/PID/stat that are used here; see proc_pid_stat(5). Times in seconds."""

    pid: int
    session: int
    ended: bool
    """It only waits for its parent to take note of its end (a zombie)."""
    user: float
    system: float
    children: float
    """User and system time of children that have ended and were waited for."""

    @classmethod
    def parse(cls, text: str) -> "ProcessStat":
        """Read one line of /proc/PID/stat. The name in parentheses may hold spaces and parentheses itself."""
        head, _, tail = text.rpartition(")")
        fields = tail.split()
        user, system, children_user, children_system = (
            int(field) / TICKS_PER_SECOND for field in fields[11:15]
        )
        return cls(
            pid=int(head.split(" ", 1)[0]),
            session=int(fields[3]),
            ended=fields[0] in "ZX",
            user=user,
            system=system,
            children=children_user + children_system,
        )


@dataclass(frozen=True, slots=True)
class CpuTime:
    """CPU time in seconds. `total` has nanosecond resolution, `user` and `system` that of the clock tick."""

    total: float
    user: float
    system: float

    def __sub__(self, earlier: "CpuTime") -> "CpuTime":
        return CpuTime(self.total - earlier.total, self.user - earlier.user, self.system - earlier.system)


def session_processes(session: int) -> list[ProcessStat]:
    """Every process of the session: a server, its workers, and workers that lost their parent.

    A process that ends while we read is left out; its time is then in its parent's `children`.
    """
    found = []
    for entry in os.listdir(PROC):
        if entry.isdecimal():
            try:
                stat = ProcessStat.parse((PROC / entry / "stat").read_text())
            except (FileNotFoundError, ProcessLookupError):
                continue
            if stat.session == session:
                found.append(stat)
    return found


def precise_cpu_time(pid: int) -> float | None:
    """CPU time of all threads of a process in seconds, from its CPU-time clock (clock_getcpuclockid(3)).

    /proc/PID/stat counts in clock ticks, 10 ms as a rule, which is half a percent of a round of two seconds.
    The number of the clock is the one that the C library makes: the inverted PID and the kind of clock.
    None if the kernel does not give it.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return None


def cpu_time(session: int) -> CpuTime:
    """CPU time used so far by all processes of a session, ended children included."""
    total = user = system = 0.0
    for stat in session_processes(session):
        precise = precise_cpu_time(stat.pid)
        total += stat.children + (stat.user + stat.system if precise is None else precise)
        user += stat.user
        system += stat.system
    return CpuTime(total, user, system)


def proportional_memory(session: int) -> list[float]:
    """The proportional set size (PSS) of each process of a session in KiB, largest first.

    PSS shares out what several processes have in common, so that a sum over the tree counts it once. It
    does not hold what the kernel needs for sockets. Other processes that have the same libraries mapped
    make it smaller.
    """
    sizes = []
    for stat in session_processes(session):
        try:
            lines = (PROC / str(stat.pid) / "smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        sizes += [float(line.split()[1]) for line in lines if line.startswith("Pss:")]
    return sorted(sizes, reverse=True)


def core_time(core: int) -> float:
    """Seconds for which a core was not idle since the machine started; see proc_stat(5)."""
    for line in (PROC / "stat").read_text().splitlines():
        name, *fields = line.split()
        if name == f"cpu{core}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[:8])
            return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND
    raise ValueError(f"no core {core} on this machine")
