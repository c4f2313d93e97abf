# SPDX-License-Identifier: MIT
{ lib, config, ... }:
{
  options.virtualisation.memorySize = lib.mkOption {
    type = lib.types.int;
    default = 1024;
  };
  options.virtualisation.graphics = lib.mkOption {
    type = lib.types.bool;
    default = true;
  };
  config.system.build.vm = config.system.build.toplevel;
}
