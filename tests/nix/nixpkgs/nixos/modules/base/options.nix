# SPDX-License-Identifier: MIT
# NixOS' options that our files set and that nothing here is made of: they have NixOS' types, and are only checked.
{ lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  of = type: default: mkOption { inherit type default; };
  ports = of (types.listOf types.port) [ ];
  range.options = {
    from = mkOption { type = types.port; };
    to = mkOption { type = types.port; };
  };
  ranges = of (types.listOf (types.attrsOf types.port)) [ ];
  firewall = {
    allowedTCPPorts = ports;
    allowedUDPPorts = ports;
    allowedTCPPortRanges = ranges;
    allowedUDPPortRanges = ranges;
  };
  sysctl = types.nullOr (
    types.oneOf [
      types.bool
      types.str
      types.int
    ]
  );
in
{
  options = {
    networking.hostName = of (types.strMatching "^$|^[[:alnum:]]([[:alnum:]_-]{0,61}[[:alnum:]])?$") "nixos";
    networking.useDHCP = of types.bool true;
    networking.firewall = firewall // {
      enable = of types.bool true;
      interfaces = of (types.attrsOf (types.submodule { options = firewall; })) { };
    };
    time.timeZone = of (types.nullOr types.str) null;
    i18n.defaultLocale = of types.str "en_US.UTF-8";
    security.wrapperDir = mkOption {
      type = types.path;
      default = "/run/wrappers/bin";
      internal = true;
    };
    security.unprivilegedUsernsClone = of types.bool true;
    security.allowUserNamespaces = of types.bool true;
    boot.kernelModules = of (types.listOf types.str) [ ];
    boot.kernelParams = of (types.listOf types.str) [ ];
    boot.kernel.sysctl = of (types.submodule { freeformType = types.attrsOf sysctl; }) { };
    boot.supportedFilesystems = of (types.coercedTo (types.listOf types.str) (
      names: lib.genAttrs names (_: true)
    ) (types.attrsOf types.bool)) { };
    boot.loader.grub.enable = of types.bool true;
    boot.tmp.useTmpfs = of types.bool false;
    fileSystems = of (types.attrsOf (
      types.submodule {
        options.device = of (types.nullOr types.str) null;
        options.fsType = mkOption { type = types.str; };
      }
    )) { };
    services.getty.autologinUser = of (types.nullOr types.str) null;
    services.getty.helpLine = of types.lines "";
    services.openssh.enable = of types.bool false;
    services.journald.extraConfig = of types.lines "";
    programs.fuse.userAllowOther = of types.bool false;
    programs.bash.completion.enable = of types.bool true;
    documentation.enable = of types.bool true;
    documentation.nixos.enable = of types.bool true;
    documentation.man.enable = of types.bool true;
    nix.settings = of (types.submodule { freeformType = types.attrsOf types.anything; }) { };
    nix.enable = of types.bool true;
    meta.maintainers = of (types.listOf types.raw) [ ];
    meta.doc = mkOption {
      type = types.path;
      internal = true;
    };
    systemd.package = of types.package pkgs.systemd;
  };
}
