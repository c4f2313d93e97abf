# SPDX-License-Identifier: MIT
# The locked libraries (libraries.json, written by nixos/lock.py), each with the others that it needs: none is nixpkgs'
# own, so what runs on NixOS are the versions that were tested, and no two versions of a library meet.
{
  lib,
  stdenv,
  autoPatchelfHook,
  buildPythonPackage,
  callPackage,
  fetchPypi,
  # Among Python's packages there was another one of this name.
  systemd,
}:
let
  table = lib.importJSON ./libraries.json;
  dependencies = one: map (name: libraries.${name}) one.needs;

  wheel =
    name: one:
    let
      file = one.files.any or one.files.${stdenv.hostPlatform.system};
      isNative = !(one.files ? any);
    in
    buildPythonPackage {
      pname = name;
      inherit (one) version;
      format = "wheel";
      src = fetchPypi {
        inherit (file)
          pname
          python
          abi
          platform
          hash
          ;
        inherit (one) version;
        format = "wheel";
        dist = file.python;
      };
      # They find the C and C++ runtime of whatever distribution they are on; here it is named to them.
      nativeBuildInputs = lib.optional isNative autoPatchelfHook;
      buildInputs = lib.optional isNative stdenv.cc.cc.lib;
      dontStrip = isNative;
      dependencies = dependencies one;
    };

  libraries =
    lib.mapAttrs wheel (lib.filterAttrs (_: one: !(one.files ? source)) table)
    // {
      pystemd = callPackage ./pystemd.nix {
        inherit systemd;
        inherit (table.pystemd) version;
        inherit (table.pystemd.files.source) hash;
        dependencies = dependencies table.pystemd;
      };
    };
in
{
  inherit libraries;
  # What the tests take beside what Strata runs with.
  forTests = lib.attrValues (lib.filterAttrs (name: _: table.${name}.group == "test") libraries);
}
