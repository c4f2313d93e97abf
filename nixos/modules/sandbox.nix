# SPDX-License-Identifier: MIT
# Sessions for untrusted commands. Keys of `limits` and `templates` are those of docs/manifest.md.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkIf mkOption types;
  inherit (import ./types.nix { inherit lib; }) said table unsaid;
  cfg = config.services.strata;
  network = types.enum [
    "isolated"
    "host"
  ];
  limits = {
    memory_max = unsaid types.nonEmptyStr { description = "Memory of a session; it never moves to swap."; };
    tasks_max = unsaid types.ints.positive { description = "Processes and threads of a session."; };
    cpu_quota = unsaid types.nonEmptyStr { description = "Processor time of a session; above `100%` is more than one CPU."; };
    disk_max = unsaid types.nonEmptyStr { description = "What a session may write."; };
    inodes_max = unsaid types.ints.positive { description = "Files and directories that a session may make."; };
    files_max = unsaid types.ints.positive { description = "Open files of one process."; };
  };
  # The tree that a session's PATH leads to; a session cannot do without these.
  tree =
    packages:
    if packages == [ ] then
      null
    else
      [
        "${pkgs.buildEnv {
          name = "strata-sandbox-packages";
          paths = [
            pkgs.bashInteractive
            pkgs.coreutils
          ]
          ++ packages;
          pathsToLink = [
            "/bin"
            "/lib"
            "/share"
          ];
        }}"
      ];
  packages = mkOption {
    type = types.listOf types.package;
    default = [ ];
    example = lib.literalExpression "[ pkgs.python3 pkgs.git ]";
  };
  template.options = {
    description = unsaid types.str { description = "One line for people."; };
    base_rootfs = unsaid types.path {
      description = "Root tree of its sessions, such as a derivation that holds one; `null` is that of all sessions.";
    };
    packages = packages // {
      description = "Programs of its sessions, beside bash and coreutils; empty: those of all sessions.";
    };
    limits = table limits { description = "Those limits that are to differ."; };
    env = mkOption {
      type = types.attrsOf types.str;
      default = { };
      description = "Variables of its sessions' commands.";
    };
    network = unsaid network { description = "What its sessions see of the network; `null` is as for all sessions."; };
    ttl = unsaid types.nonEmptyStr { description = "A session that is idle for so long is closed; `null` is as for all sessions."; };
  };
in
{
  options.services.strata.sandbox = {
    enable = mkOption {
      type = types.bool;
      default = true;
      description = "Whether this node runs sandboxes: sessions for untrusted commands.";
    };
    maxSessions = unsaid types.ints.unsigned { description = "Sessions of all owners together; `null` is 100."; };
    ttl = unsaid types.nonEmptyStr {
      example = "15min";
      description = "A session that is idle for so long is closed; `null` is 30 minutes.";
    };
    network = unsaid network {
      description = "`isolated`: sessions have a loopback interface of their own and no other. `host`: this machine's network. `null` is `isolated`.";
    };
    packages = packages // {
      description = ''
        Programs that sessions have, beside bash and coreutils; empty: what all users of the machine have, in
        {file}`/run/current-system/sw`. A session sees the whole Nix store, so no program in it is a secret.
      '';
    };
    limits = table limits {
      example.memory_max = "512M";
      description = "What one session may use; what is left out is as {file}`docs/manifest.md` says.";
    };
    templates = mkOption {
      type = types.attrsOf (types.submodule template);
      default = { };
      example.node = {
        description = "JavaScript, with more memory";
        limits.memory_max = "2G";
        env.NODE_ENV = "test";
      };
      description = "Named ways to open sessions: what is left out is as for all sessions.";
    };
  };

  config.services.strata.settings.sandbox = mkIf (cfg.enable && cfg.sandbox.enable) (said {
    max_sessions = cfg.sandbox.maxSessions;
    session_ttl = cfg.sandbox.ttl;
    isolate_network = if cfg.sandbox.network == null then null else cfg.sandbox.network == "isolated";
    tools = tree cfg.sandbox.packages;
    inherit (cfg.sandbox) limits;
    templates = lib.mapAttrs (
      _: one: removeAttrs one [ "packages" ] // { tools = tree one.packages; }
    ) cfg.sandbox.templates;
  });
}
