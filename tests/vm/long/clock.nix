# SPDX-License-Identifier: MIT
# A clock that jumps, ahead and back.
{
  name = "strata-clock";
  nodes.machine = { };
  testScript = builtins.readFile ./clock.py;
}
