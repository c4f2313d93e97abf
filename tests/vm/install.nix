# SPDX-License-Identifier: MIT
# install.py is about the Debian package. On NixOS a switch installs and removes, so the script is another one:
# Strata is there after the boot, goes with a switch to a system without it, and comes back with its keys.
{
  name = "strata-install";
  nodes.machine =
    { lib, ... }:
    {
      specialisation.without.configuration.services.strata.enable = lib.mkForce false;
    };
  testScript = builtins.readFile ./nixos/install.py;
}
