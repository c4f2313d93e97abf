# SPDX-License-Identifier: MIT
# Strata's own services: the door, tokens, files, and a socket that starts its service.
{
  name = "strata-core";
  nodes.machine = { };
  testScript = builtins.readFile ./core.py;
}
