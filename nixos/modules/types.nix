# SPDX-License-Identifier: MIT
# The kinds of values that several options share, and how options become TOML.
{ lib }:
let
  inherit (lib) mkOption types;
in
rec {
  # The store is readable by everybody: a secret is named by where it lies, and read by systemd when a service starts.
  secretFile =
    types.addCheck types.str (
      path: builtins.match "(/|\\$\\{).*" path != null && !lib.hasPrefix builtins.storeDir path
    )
    // {
      name = "secretFile";
      description = "absolute path outside of the Nix store, in quotes";
      descriptionClass = "noun";
    };

  # Numbers are seconds; texts are as in systemd.time(7) and systemd's sizes and percentages.
  amount = types.either types.number types.nonEmptyStr // {
    description = "number or text such as 15min, 512M, 50%";
    descriptionClass = "noun";
  };

  # What is not said is not written down, so that the defaults of the program hold.
  unsaid =
    type: more:
    mkOption (
      {
        type = types.nullOr type;
        default = null;
      }
      // more
    );

  table =
    options: more:
    mkOption (
      {
        type = types.submodule { inherit options; };
        default = { };
      }
      // more
    );

  # A value without what stands for "not said": in a service an empty list too, which settings may mean.
  said = without [
    null
    { }
    [ ]
  ];
  without =
    nothing: value:
    if !builtins.isAttrs value || lib.isDerivation value then
      value
    else
      lib.filterAttrs (_: one: !lib.elem one nothing) (lib.mapAttrs (_: without nothing) value);
}
