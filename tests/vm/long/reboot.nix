# SPDX-License-Identifier: MIT
# A reboot in good order.
{
  name = "strata-reboot";
  nodes.machine = { };
  testScript = builtins.readFile ./reboot.py;
}
