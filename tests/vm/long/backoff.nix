# SPDX-License-Identifier: MIT
# Minutes of waiting: every delay that the default restart has.
{
  name = "strata-backoff";
  nodes.machine = { };
  testScript = builtins.readFile ./backoff.py;
}
