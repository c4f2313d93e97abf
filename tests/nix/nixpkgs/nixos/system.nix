# SPDX-License-Identifier: MIT
# nixosSystem: our modules over the options of options.nix; failed assertions are errors, as in the real one.
nixpkgs:
{ system, modules }:
let
  inherit (nixpkgs) lib;
  evaluated = lib.evalModules {
    modules = [ ./options.nix ] ++ modules;
    specialArgs = {
      pkgs = nixpkgs.legacyPackages.${system};
      modulesPath = toString ./modules;
    };
  };
  failed = lib.filter (one: !one.assertion) evaluated.config.assertions;
in
if failed != [ ] then
  throw "Failed assertions: ${lib.concatStringsSep "; " (map (one: one.message) failed)}"
else
  evaluated
