# SPDX-License-Identifier: MIT
# Strata's own services: the door, tokens, files, and a socket that starts its service.
{
  name = "strata-core";
  # The script makes the two where they are not.
  nodes.machine = {
    users.groups.alice = { };
    users.groups.bob = { };
    users.users.alice = {
      isNormalUser = true;
      group = "alice";
      extraGroups = [ "strata" ];
    };
    users.users.bob = {
      isNormalUser = true;
      group = "bob";
    };
  };
  testScript = builtins.readFile ./core.py;
}
