# SPDX-License-Identifier: MIT
"""What a file system's magic number (statfs(2), linux/magic.h) says about waiting and about being files at all."""

from __future__ import annotations

KERNEL: dict[int, str] = {
    0x0000_9FA0: "proc",
    0x6265_6572: "sysfs",
    0x6265_6570: "configfs",
    0x6462_6720: "debugfs",
    0x7472_6163: "tracefs",
    0x7363_6673: "securityfs",
    0xF97C_FF8C: "selinuxfs",
    0x4341_5D53: "smackfs",
    0x5A3C_69F0: "apparmorfs",
    0x0027_E0EB: "cgroup",
    0x6367_7270: "cgroup2",
    0xCAFE_4A11: "bpf",
    0x6165_676C: "pstore",
    0xDE5E_81E4: "efivarfs",
    0x4249_4E4D: "binfmt_misc",
    0x1980_0202: "mqueue",
    0x6E73_6673: "nsfs",
    0x6573_5543: "fusectl",
    0x0765_5821: "resctrl",
}
"""Interfaces of the kernel in the shape of files."""

MEMORY = frozenset((0x0102_1994, 0x8584_58F6))
"""tmpfs, ramfs: reading never waits, but they know no RWF_NOWAIT."""

LOCAL = MEMORY | {
    0x0000_EF53,  # ext2, ext3, ext4
    0x5846_5342,  # xfs
    0x9123_683E,  # btrfs
    0x794C_7630,  # overlay
    0xF2F5_2010,  # f2fs
    0x2FC1_2FC1,  # zfs
    0xCA45_1A4E,  # bcachefs
    0x7371_7368,  # squashfs
    0xE0F5_E1E2,  # erofs
    0x0000_4D44,  # vfat
    0x2011_BAB0,  # exfat
    0x0000_9660,  # iso9660
}
"""On these, opening an inode that is in memory does not wait for anybody. Network and FUSE file systems may."""

_MOST_DEVICES = 1024
_local: set[tuple[int, int]] = set()


def known_local(device: tuple[int, int]) -> bool:
    """Whether a device was seen to be local. Only a hint: a number may be used again; then one call waits."""
    return device in _local


def remember(device: tuple[int, int], system: int) -> None:
    """Note what an open found out."""
    if system not in LOCAL:
        _local.discard(device)
    elif len(_local) < _MOST_DEVICES:
        _local.add(device)
