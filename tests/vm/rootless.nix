# SPDX-License-Identifier: MIT
# A Strata of a user's own, under her `systemd --user`, beside the one of the system.
{
  name = "strata-rootless";
  nodes.machine =
    { pkgs, ... }:
    {
      boot.kernelModules = [ "fuse" ];
      users.users.alice = {
        isNormalUser = true;
        uid = 1000;
        linger = true;
      };
      # What Strata starts by name is found through the user's PATH; the supervisor of the system has its own.
      environment.systemPackages = [
        pkgs.bubblewrap
        pkgs.fuse-overlayfs
        pkgs.e2fsprogs
      ];
    };
  testScript = builtins.readFile ./rootless.py;
}
