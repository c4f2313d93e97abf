# SPDX-License-Identifier: MIT
# Limits that cgroup v2 enforces, and why something ended. The second disk is the one whose bandwidth is limited.
{
  name = "strata-limits";
  nodes.machine = {
    virtualisation.emptyDiskImages = [ 256 ];
  };
  testScript = builtins.readFile ./limits.py;
}
