# SPDX-License-Identifier: MIT
# pkgs.nixosOptionsDoc: options as JSON. One that nobody can read about is an error, as it is by default in nixpkgs.
{ lib, pkgs }:
{
  options,
  transformOptions ? lib.id,
  warningsAreErrors ? true,
  documentType ? "none",
  revision ? "",
}:
let
  listed = map transformOptions (
    lib.filter (one: (one.visible != false) && !one.internal) (
      lib.optionAttrSetToDocList options
    )
  );
  bare = lib.filter (one: one.description == null) listed;
  json = builtins.toJSON (lib.listToAttrs (map (one: lib.nameValuePair one.name (removeAttrs one [ "internal" "visible" ])) listed));
  checked =
    if bare != [ ] && warningsAreErrors then
      throw "Option ${(lib.head bare).name} has no description."
    else
      json;
in
{
  optionsNix = lib.listToAttrs (map (one: lib.nameValuePair one.name one) listed);
  optionsJSON = pkgs.writeTextDir "share/doc/nixos/options.json" checked;
  optionsCommonMark = pkgs.writeText "options.md" checked;
}
