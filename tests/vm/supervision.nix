# SPDX-License-Identifier: MIT
# System mode under PID 1: what is declared runs, is restarted, and is stopped.
{
  name = "strata-supervision";
  nodes.machine = { };
  testScript = builtins.readFile ./supervision.py;
}
