# SPDX-License-Identifier: MIT
"""The units and settings of the private systemd: data only.

It is told (SYSTEMD_UNIT_PATH) to look for units in its own /run and nowhere else, so what is not named here does not
exist for it. That is stronger than masking: no generator, getty, udev, tmpfiles, sysctl, random-seed, fstab entry or
service of the machine can start, also none that this project has never heard of.
"""

from __future__ import annotations

TARGET = "strata-embedded.target"

# The lookup order of systemd.unit(5), without what the machine's administrator and packages installed.
UNIT_PATH = ":".join(
    f"/run/systemd/{name}" for name in ("system.control", "transient", "generator.early", "system", "generator")
)

# Taken as the systemd in the tree ships them: targets that default dependencies name, the journal, and the way out.
SHIPPED = (
    "basic.target",
    "exit.target",
    "final.target",
    "halt.target",
    "local-fs-pre.target",
    "local-fs.target",
    "multi-user.target",
    "network-online.target",
    "network-pre.target",
    "network.target",
    "nss-lookup.target",
    "nss-user-lookup.target",
    "paths.target",
    "remote-fs-pre.target",
    "remote-fs.target",
    "shutdown.target",
    "slices.target",
    "sockets.target",
    "swap.target",
    "sysinit.target",
    "time-set.target",
    "time-sync.target",
    "timers.target",
    "umount.target",
    "systemd-exit.service",
    "systemd-halt.service",
    "systemd-journald-dev-log.socket",
    "systemd-journald.service",
    "systemd-journald.socket",
)

OWN = {
    TARGET: """\
[Unit]
Description=Strata's private systemd is up
Requires=basic.target
Wants=systemd-journald.service systemd-journald-dev-log.socket strata-embedded-sysctl.service
After=basic.target systemd-journald.service strata-embedded-sysctl.service
AllowIsolate=yes
""",
    # systemd raises fs.file-max, fs.nr_open and net.unix.max_dgram_qlen while it starts, and those are the machine's.
    # So /proc/sys is read-only until that is over. It may not stay so: the kernel gives a user namespace a /proc of its
    # own only where nothing of the one outside is covered (mount_too_revealing), and sandboxes need theirs.
    "strata-embedded-sysctl.service": """\
[Unit]
Description=Uncover /proc/sys
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=umount --lazy /proc/sys
""",
}

# Last by name, so that no drop-in of the machine has the last word (journald.conf(5), systemd-system.conf(5)).
SETTINGS = {
    "journald.conf.d/zz-strata.conf": """\
[Journal]
Storage=volatile
ReadKMsg=no
Audit=no
ForwardToSyslog=no
ForwardToKMsg=no
ForwardToConsole=no
ForwardToWall=no
RateLimitIntervalSec=0
""",
    "system.conf.d/zz-strata.conf": """\
[Manager]
RuntimeWatchdogSec=0
RebootWatchdogSec=0
""",
}

# Where systemd itself lies, the newer place first.
BINARIES = ("usr/lib/systemd/systemd", "lib/systemd/systemd")
UNIT_DIRECTORIES = ("/usr/lib/systemd/system", "/lib/systemd/system")
