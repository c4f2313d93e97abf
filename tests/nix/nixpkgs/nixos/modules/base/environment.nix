# SPDX-License-Identifier: MIT
# /etc, and the programs that everybody has. /etc is truly built, so what makes its files runs.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  of = type: default: mkOption { inherit type default; };
  file =
    { name, config, ... }:
    {
      options = {
        enable = of types.bool true;
        target = of types.str name;
        text = of (types.nullOr types.lines) null;
        source = mkOption { type = types.path; };
        mode = of types.str "symlink";
        user = of types.str "+0";
        group = of types.str "+0";
      };
      config.source = lib.mkIf (config.text != null) (lib.mkDefault (pkgs.writeText "etc-${baseNameOf name}" config.text));
    };
  words = types.attrsOf (
    types.oneOf [
      types.int
      types.str
      types.path
    ]
  );
in
{
  options.environment = {
    etc = of (types.attrsOf (types.submodule file)) { };
    systemPackages = of (types.listOf types.package) [ ];
    variables = of words { };
    sessionVariables = of words { };
    shellAliases = of (types.attrsOf (types.nullOr types.str)) { };
    pathsToLink = of (types.listOf types.str) [ ];
    extraInit = of types.lines "";
  };
  # Copies, so that the tree is whole wherever the store is.
  config.system.build.etc = pkgs.runCommand "etc" { } (
    lib.concatMapStrings (one: ''
      mkdir -p "$(dirname "$out/etc/${one.target}")"
      cp -rL ${one.source} "$out/etc/${one.target}"
    '') (lib.filter (one: one.enable) (lib.attrValues config.environment.etc))
    + "mkdir -p $out/etc"
  );
}
