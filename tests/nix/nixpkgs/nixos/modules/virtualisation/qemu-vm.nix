# SPDX-License-Identifier: MIT
{
  lib,
  config,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  of = type: default: mkOption { inherit type default; };
in
{
  options.virtualisation = {
    memorySize = of types.ints.positive 1024;
    cores = of types.ints.positive 1;
    diskSize = of (types.either (types.enum [ "auto" ]) types.ints.positive) 1024;
    graphics = of types.bool true;
    emptyDiskImages = of (types.listOf (types.coercedTo types.ints.positive (size: { inherit size; }) (
      types.submodule {
        options.size = mkOption { type = types.ints.positive; };
        options.driveConfig = of types.attrs { };
      }
    ))) [ ];
    forwardPorts = of (types.listOf (
      types.submodule {
        options.from = of (types.enum [ "host" "guest" ]) "host";
        options.proto = of (types.enum [ "tcp" "udp" ]) "tcp";
        options.host.address = of types.str "";
        options.host.port = mkOption { type = types.port; };
        options.guest.address = of types.str "";
        options.guest.port = mkOption { type = types.port; };
      }
    )) [ ];
    writableStore = of types.bool true;
    qemu.options = of (types.listOf types.str) [ ];
    vlans = of (types.listOf types.ints.unsigned) [ 1 ];
  };
  config.system.build.vm = pkgs.absent "nixos-vm" {
    drvPath = builtins.seq (builtins.toJSON config.virtualisation) config.system.build.toplevel.drvPath;
  };
}
