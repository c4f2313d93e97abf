# SPDX-License-Identifier: MIT
{ lib, config, ... }:
{
  options.isoImage = lib.genAttrs [ "makeEfiBootable" "makeUsbBootable" ] (
    _:
    lib.mkOption {
      type = lib.types.bool;
      default = false;
    }
  );
  config.system.build.isoImage = config.system.build.toplevel;
}
