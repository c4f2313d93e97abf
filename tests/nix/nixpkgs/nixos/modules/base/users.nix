# SPDX-License-Identifier: MIT
# Users and groups, with the assertions that NixOS makes of them.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  of = type: default: mkOption { inherit type default; };
  cfg = config.users;
  name = types.passwdEntry or types.str;
  user =
    { name, config, ... }:
    {
      options = {
        enable = of types.bool true;
        name = of types.str name;
        description = of types.str "";
        uid = of (types.nullOr types.int) null;
        isSystemUser = of types.bool false;
        isNormalUser = of types.bool false;
        linger = of (types.nullOr types.bool) null;
        group = of types.str "";
        extraGroups = of (types.listOf types.str) [ ];
        home = of types.path "/var/empty";
        createHome = of types.bool false;
        shell = of (types.nullOr (types.either types.shellPackage types.path)) null;
        packages = of (types.listOf types.package) [ ];
        password = of (types.nullOr types.str) null;
        hashedPassword = of (types.nullOr types.str) null;
        initialPassword = of (types.nullOr types.str) null;
        initialHashedPassword = of (types.nullOr types.str) null;
        hashedPasswordFile = of (types.nullOr types.str) null;
        openssh.authorizedKeys.keys = of (types.listOf types.singleLineStr) [ ];
      };
      config = lib.mkIf config.isNormalUser {
        group = lib.mkDefault "users";
        home = lib.mkDefault "/home/${config.name}";
        createHome = lib.mkDefault true;
      };
    };
  group =
    { name, config, ... }:
    {
      options = {
        name = of types.str name;
        gid = of (types.nullOr types.int) null;
        members = of (types.listOf types.str) [ ];
      };
      config.members = map (one: one.name) (
        lib.filter (one: lib.elem config.name one.extraGroups) (lib.attrValues cfg.users)
      );
    };
in
{
  options.users = {
    mutableUsers = of types.bool true;
    allowNoPasswordLogin = of types.bool false;
    manageLingering = of types.bool true;
    users = of (types.attrsOf (types.submodule user)) { };
    groups = of (types.attrsOf (types.submodule group)) { };
  };
  config = {
    users.groups.users.gid = 100;
    users.groups.root.gid = 0;
    users.users.root = {
      isSystemUser = true;
      uid = 0;
      group = "root";
    };
    assertions = lib.concatMap (one: [
      {
        assertion = one.isSystemUser != one.isNormalUser;
        message = "Exactly one of users.users.${one.name}.isSystemUser and users.users.${one.name}.isNormalUser must be set.\n";
      }
      {
        assertion = one.group != "";
        message = "users.users.${one.name}.group is unset. This used to default to\nnogroup, but this is unsafe. For example you can create a group\nfor this user with:\nusers.users.${one.name}.group = \"${one.name}\";\nusers.groups.${one.name} = {};\n";
      }
      {
        assertion = one.group == "" || cfg.groups ? ${one.group};
        message = "The following users have a primary group that is undefined: ${one.name}\nHint: Add this to your NixOS configuration:\n  users.groups.${one.group} = {};\n";
      }
    ]) (lib.attrValues cfg.users);
  };
}
