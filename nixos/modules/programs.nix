# SPDX-License-Identifier: MIT
# The programs that Strata starts by name (strata/programs.py).
pkgs: [
  pkgs.bubblewrap
  pkgs.e2fsprogs
  pkgs.fuse-overlayfs
  pkgs.util-linux
]
