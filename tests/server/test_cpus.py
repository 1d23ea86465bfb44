"""How many CPUs there are, in containers of all kinds: real files, laid out as the kernel does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from aserve import cpus

V2_MOUNT = "31 23 0:28 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1_MOUNT = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def lay_out(root: Path, membership: str, mounts: str, files: dict[str, str]) -> None:
    (root / "proc/self/cgroup").write_text(membership + "\n")
    (root / "proc/self/mountinfo").write_text(f"23 1 0:21 / / rw - ext4 /dev/sda rw\n{mounts}\n")
    for name, text in files.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")


def test_v2(machine: Path) -> None:
    lay_out(machine, "0::/app", V2_MOUNT, {"app/cpu.max": "150000 100000"})
    assert cpus.cgroup_quota(machine) == 1.5


def test_v2_without_a_limit(machine: Path) -> None:
    lay_out(machine, "0::/app", V2_MOUNT, {"app/cpu.max": "max 100000"})
    assert cpus.cgroup_quota(machine) is None


def test_v2_the_smallest_limit_on_the_way_up_holds(machine: Path) -> None:
    files = {"a/cpu.max": "50000 100000", "a/b/cpu.max": "max 100000", "a/b/c/cpu.max": "400000 100000"}
    lay_out(machine, "0::/a/b/c", V2_MOUNT, files)
    assert cpus.cgroup_quota(machine) == 0.5


def test_v2_in_a_container_with_a_namespace(machine: Path) -> None:
    lay_out(machine, "0::/", V2_MOUNT, {"cpu.max": "200000 100000"})
    assert cpus.cgroup_quota(machine) == 2.0


def test_v2_in_a_group_above_the_namespace(machine: Path) -> None:
    lay_out(machine, "0::/../other", V2_MOUNT, {"cpu.max": "200000 100000"})
    assert cpus.cgroup_quota(machine) == 2.0


def test_v1(machine: Path) -> None:
    files = {"cpu/app/cpu.cfs_quota_us": "250000", "cpu/app/cpu.cfs_period_us": "100000"}
    lay_out(machine, "4:memory:/m\n3:cpu,cpuacct:/app", V1_MOUNT, files)
    assert cpus.cgroup_quota(machine) == 2.5


def test_v1_without_a_limit(machine: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    lay_out(machine, "3:cpu,cpuacct:/", V1_MOUNT, files)
    assert cpus.cgroup_quota(machine) is None


def test_v1_in_a_container_that_sees_the_hosts_name_of_its_group(machine: Path) -> None:
    mount = V1_MOUNT.replace(" / /sys", " /docker/abc /sys")
    files = {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "50000"}
    lay_out(machine, "3:cpu,cpuacct:/docker/abc", mount, files)
    assert cpus.cgroup_quota(machine) == 2.0


def test_both_versions_at_once(machine: Path) -> None:
    files = {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}
    mounts = V1_MOUNT + "\n" + V2_MOUNT.replace("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
    lay_out(machine, "3:cpu:/\n0::/", mounts, files)
    assert cpus.cgroup_quota(machine) == 3.0


@pytest.mark.parametrize("text", ["", "nonsense", "x y", "1000 0", "0 100000", "1 2 3"])
def test_files_with_something_else_are_no_limit(machine: Path, text: str) -> None:
    lay_out(machine, "0::/", V2_MOUNT, {"cpu.max": text})
    assert cpus.cgroup_quota(machine) is None


def test_no_proc_no_limit(tmp_path: Path) -> None:
    assert cpus.cgroup_quota(tmp_path) is None


@pytest.mark.parametrize(("quota", "expected"), [("10000", 1), ("100000", 1), ("150000", 2), ("6400000", 8)])
def test_the_smaller_of_affinity_and_quota_rounded_up(
    machine: Path, monkeypatch: pytest.MonkeyPatch, quota: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    lay_out(machine, "0::/", V2_MOUNT, {"cpu.max": f"{quota} 100000"})
    assert cpus.usable(machine) == expected


def test_without_affinity_all_cpus_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpus.usable(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpus.usable(tmp_path) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="affinity can be set on Linux only")
def test_the_affinity_of_this_process() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cpus.usable() == 1
    finally:
        os.sched_setaffinity(0, before)
