# SPDX-License-Identifier: MIT
# Limits that cgroup v2 enforces, and why something ended. The second disk is the one whose bandwidth is limited.
{
  name = "strata-limits";
  nodes.machine = {
    virtualisation.emptyDiskImages = [ 256 ];
    # The script writes the same where nothing of it is in strata.toml.
    services.strata.settings.sandbox.owner = {
      memory_max = "128M";
      tasks_max = 100;
    };
  };
  testScript = builtins.readFile ./limits.py;
}
