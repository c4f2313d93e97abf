# SPDX-License-Identifier: MIT
"""A `systemd --user` of `nobody` for tests, as the part of a bash script that starts it."""

import nobody

UID = 65534

# Needs $top, a directory of that user's. The manager gets a cgroup of its own in every hierarchy that it could have one
# in, because systemd makes its units' below; it ends with the script.
START = f"""
for tree in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [ -e "$tree/cgroup.procs" ] || continue
    mkdir -p "$tree/strata-user-test"
    chown -R {UID} "$tree/strata-user-test"
    echo $$ > "$tree/strata-user-test/cgroup.procs"
done
export XDG_RUNTIME_DIR=$top HOME=$top
as() {{ setpriv --reuid {UID} --regid {UID} --clear-groups "$@"; }}
as /usr/lib/systemd/systemd --user 2> "$top/log" &
manager=$!
trap 'kill $manager; wait $manager || true' EXIT
for _ in $(seq 100); do [ -S "$top/systemd/private" ] && break; sleep 0.05; done
"""

# How a script of root's begins that types $1, strata-ctl, as that user, in $2: afterwards `ctl` does so. Whoever runs
# Strata in user mode can read the code that it runs.
OPERATED = (
    f"""
set -eu -o pipefail
umask 022
ctl=$1 top=$2
mkdir -p "$top"
chown {UID} "$top"
chmod 700 "$top"
"""
    + nobody.SHOW
    + "unset STRATA_RUNTIME_DIR STRATA_STATE_DIR STRATA_CONFIG_DIR\n"
    + START
    + 'ctl() { as "$ctl" "$@"; }\n'
)
