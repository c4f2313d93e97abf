# SPDX-License-Identifier: MIT
# A power cut in the middle of a mixed load.
{
  name = "strata-powercut";
  nodes.machine = { };
  testScript = builtins.readFile ./powercut.py;
}
