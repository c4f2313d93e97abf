# SPDX-License-Identifier: MIT
# A reboot and a power cut: keys, revocations and declared services are still there.
{
  name = "strata-persistence";
  nodes.machine = { };
  testScript = builtins.readFile ./persistence.py;
}
