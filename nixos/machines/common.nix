# SPDX-License-Identifier: MIT
# What the two example machines share. Neither has a password, a key or a daemon that listens.
{ pkgs, ... }:
{
  services.strata = {
    enable = true;
    nodeId = "local-0";
  };
  networking.hostName = "strata";
  time.timeZone = "UTC";
  environment.systemPackages = [
    pkgs.curl
    pkgs.git
  ];
  system.stateVersion = "26.05";
}
