# SPDX-License-Identifier: MIT
# pkgs.testers.runNixOSTest: nodes are whole machines with these packages, of which nothing can be changed.
{
  lib,
  pkgs,
  module,
}:
let
  inherit (lib) mkOption types;
  of = type: default: mkOption { inherit type default; };
  readOnly =
    { config, ... }:
    let
      fixed = what: types.unique { message = "nixpkgs.${what} is set to read-only"; } types.anything;
    in
    {
      options.nixpkgs = {
        pkgs = mkOption { type = types.raw; };
        config = mkOption { type = fixed "config"; };
        overlays = mkOption { type = fixed "overlays"; };
        hostPlatform = mkOption { readOnly = true; };
      };
      config = {
        _module.args.pkgs =
          builtins.seq config.nixpkgs.config builtins.seq config.nixpkgs.overlays
            config.nixpkgs.pkgs;
        nixpkgs = {
          inherit pkgs;
          inherit (pkgs) config overlays;
          hostPlatform = pkgs.stdenv.hostPlatform;
        };
        system.stateVersion = lib.mkDefault "25.11";
        networking.useDHCP = false;
        boot.loader.grub.enable = false;
      };
    };
  node = import ./eval-config.nix {
    inherit lib;
    system = null;
    baseModules = lib.filter (file: baseNameOf (toString file) != "nixpkgs.nix") (import ../modules/module-list.nix) ++ [
      readOnly
      ../modules/virtualisation/qemu-vm.nix
    ];
    modules = [ test.config.defaults ];
  };
  test = lib.evalModules {
    class = "nixosTest";
    modules = [
      module
      {
        options = {
          name = mkOption { type = types.str; };
          nodes = of (types.lazyAttrsOf node.type) { };
          defaults = of types.deferredModule { };
          testScript = mkOption { type = types.either types.str (types.functionTo types.str); };
          meta = of (types.submodule {
            options.maintainers = of (types.listOf types.raw) [ ];
            options.timeout = of (types.nullOr types.int) 3600;
            options.platforms = of (types.listOf types.raw) [ ];
          }) { };
          skipLint = of types.bool false;
          skipTypeCheck = of types.bool false;
          enableOCR = of types.bool false;
          globalTimeout = of types.int 3600;
          interactive = of types.deferredModule { };
          extraPythonPackages = of (types.functionTo (types.listOf types.package)) (_: [ ]);
          passthru = of (types.lazyAttrsOf types.raw) { };
        };
      }
    ];
  };
  inherit (test) config;
  script = if lib.isFunction config.testScript then config.testScript { inherit (config) nodes; } else config.testScript;
in
derivation {
  name = "vm-test-run-${config.name}";
  inherit (pkgs) system;
  builder = "/bin/sh";
  args = [ "-c" "echo the stand-in runs no test >&2; exit 1" ];
  inherit script;
  machines = lib.mapAttrsToList (_: one: one.system.build.toplevel) config.nodes;
}
// {
  inherit (config) nodes;
  inherit config;
  inherit (test) options;
  driverInteractive = pkgs.absent "nixos-test-driver-${config.name}" { };
}
