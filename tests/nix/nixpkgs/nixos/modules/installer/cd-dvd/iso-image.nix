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
  imports = [
    (lib.mkRenamedOptionModule [ "isoImage" "isoName" ] [ "image" "fileName" ])
    (lib.mkRenamedOptionModule [ "isoImage" "isoBaseName" ] [ "image" "baseName" ])
  ];
  options.image = {
    baseName = of types.str "nixos-image";
    extension = of types.str "iso";
    fileName = of types.str "nixos-image.iso";
    filePath = of types.str "iso/nixos-image.iso";
  };
  options.isoImage = {
    makeEfiBootable = of types.bool false;
    makeUsbBootable = of types.bool false;
    makeBiosBootable = of types.bool true;
    edition = of types.str "";
    volumeID = of types.str "nixos";
    squashfsCompression = of (types.nullOr types.str) "zstd -Xcompression-level 19";
    storeContents = of (types.listOf types.package) [ ];
    appendToMenuLabel = of types.str "";
  };
  config.system.build.isoImage = pkgs.absent config.image.fileName {
    drvPath = builtins.seq (builtins.toJSON [ config.isoImage config.image ]) config.system.build.toplevel.drvPath;
  };
}
