# SPDX-License-Identifier: MIT
# The packages of a system, with overlays over them.
{
  system ? builtins.currentSystem,
  overlays ? [ ],
  config ? { },
}:
let
  lib = import ./lib;
  plain = import ./pkgs { inherit lib system config overlays; };
  fixed = lib.foldl' (set: overlay: final: set final // overlay final (set final)) plain overlays;
  pkgs = fixed pkgs;
in
pkgs
