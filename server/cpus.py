"""How many CPUs this process may use: what `--workers auto` counts."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from typing import TypeAlias

StrPath: TypeAlias = "str | os.PathLike[str]"


def usable(root: StrPath = "/") -> int:
    """Return the number of CPUs that this process may use, at least 1.

    That is the smaller of its CPU affinity and its cgroup's CPU quota, rounded up: two workers
    use 1.5 CPUs to the full, one cannot. `root` is where /proc and the cgroup files are found.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(root)
    return max(1, affinity if quota is None else min(affinity, math.ceil(quota)))


def cgroup_quota(root: StrPath = "/") -> float | None:
    """Return the CPUs that the cgroup of this process (v1 or v2) grants it; None: no limit.

    A limit on any group above holds as well, so the smallest on the way up counts. Source: the
    kernel's cgroup-v2.rst ("cpu.max") and sched-bwc.rst (cpu.cfs_quota_us); proc_pid_mountinfo(5).
    """
    try:
        memberships = _read(root, "proc/self/cgroup").splitlines()
        mounts = _read(root, "proc/self/mountinfo").splitlines()
    except OSError:  # not Linux, or no /proc: nothing says that there is a limit
        return None
    limits = [
        limit
        for folder, top, version in _folders(memberships, mounts, root)
        for group in _upwards(folder, top)
        if (limit := _limit_v2(group) if version == 2 else _limit_v1(group)) is not None
    ]
    return min(limits, default=None)


def _folders(memberships: list[str], mounts: list[str], root: StrPath) -> Iterator[tuple[str, str, int]]:
    """Yield (the group's folder, the mount point above it, cgroup version) per hierarchy with a CPU limit."""
    for line in memberships:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            version = 2
        elif "cpu" in controllers.split(","):
            version = 1
        else:
            continue
        for mounted, point in _mount_points(mounts, version):
            # A container often sees its own group as the top of the mount, while `path` is still
            # the host's name for it: then `path` is to be read from the mounted group on.
            below = os.path.relpath(path, mounted)
            if below.startswith(".."):
                below = "."
            top = os.path.join(root, point.lstrip("/"))
            yield os.path.normpath(os.path.join(top, below)), os.path.normpath(top), version


def _mount_points(mounts: list[str], version: int) -> Iterator[tuple[str, str]]:
    """Yield (group that is mounted, where) for each mount of the hierarchy that limits CPUs."""
    for line in mounts:
        fields, _, tail = line.partition(" - ")
        kind, _, options = tail.split(" ", 2)
        if (version == 2 and kind == "cgroup2") or (
            version == 1 and kind == "cgroup" and "cpu" in options.split(",")
        ):
            _, _, _, mounted, point, *_ = fields.split(" ")
            yield mounted, point


def _upwards(folder: str, top: str) -> Iterator[str]:
    yield folder
    while len(folder) > len(top):
        folder = os.path.dirname(folder)
        yield folder


def _limit_v2(group: str) -> float | None:
    words = _words(group, "cpu.max")
    if len(words) != 2 or words[0] == "max":
        return None
    return _share(words[0], words[1])


def _limit_v1(group: str) -> float | None:
    quota, period = _words(group, "cpu.cfs_quota_us"), _words(group, "cpu.cfs_period_us")
    if not quota or not period or quota[0].startswith("-"):
        return None
    return _share(quota[0], period[0])


def _share(quota: str, period: str) -> float | None:
    try:
        share = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None


def _words(group: str, name: str) -> list[str]:
    try:
        return _read(group, name).split()
    except OSError:
        return []


def _read(folder: StrPath, name: str) -> str:
    with open(os.path.join(folder, name)) as file:
        return file.read()
