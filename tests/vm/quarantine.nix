# SPDX-License-Identifier: MIT
# Restarts that come later and later, and the end of them.
{
  name = "strata-quarantine";
  nodes.machine = { };
  testScript = builtins.readFile ./quarantine.py;
}
