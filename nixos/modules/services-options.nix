# SPDX-License-Identifier: MIT
# Services of the user's own. The keys, and what is left out, are those of docs/manifest.md; so a manifest can be moved here.
{ lib, pkgs, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ./types.nix { inherit lib; }) amount secretFile table unsaid;

  socket.options = {
    listen = mkOption {
      type = types.nonEmptyStr;
      example = "\${runtime_dir}/wiki.sock";
      description = "A path or a port, as in {manpage}`systemd.socket(5)`, `ListenStream=`.";
    };
    mode = unsaid (types.strMatching "0[0-7]{3}") { description = "Access mode of a path; `null` is `0666`."; };
  };

  health.options = {
    kind = mkOption {
      type = types.enum [
        "watchdog"
        "http"
        "tcp"
        "exec"
      ];
      description = "`watchdog`: the program calls {manpage}`sd_notify(3)`, and needs type `notify`. The others are asked.";
    };
    url = unsaid types.nonEmptyStr { description = "For `http`: 200 to 399 is well."; };
    target = unsaid types.nonEmptyStr { description = "For `tcp`: HOST:PORT or a path; a connection is well."; };
    command = unsaid (types.nonEmptyListOf types.str) { description = "For `exec`: status 0 is well."; };
    interval = unsaid amount { description = "Between questions; `null` is 10 seconds."; };
    timeout = unsaid amount { description = "For an answer; `null` is 5 seconds."; };
    failures = unsaid types.ints.positive { description = "Unanswered in a row before it is restarted; `null` is 3."; };
  };

  restart = {
    backoff = unsaid amount { description = "First delay; `null` is 1 second."; };
    backoff_max = unsaid amount { description = "Longest delay; `null` is 30 seconds."; };
    crashes = unsaid types.ints.positive { description = "Starts within `window` before it is Quarantined; `null` is 5."; };
    window = unsaid amount { description = "After so long Healthy, earlier crashes are forgiven; `null` is 2 minutes."; };
  };

  limits = {
    memory_high = unsaid amount { description = "`MemoryHigh=`"; };
    memory_max = unsaid amount { description = "`MemoryMax=`"; };
    memory_swap_max = unsaid amount { description = "`MemorySwapMax=`"; };
    tasks_max = unsaid amount { description = "`TasksMax=`"; };
    cpu_quota = unsaid amount { description = "`CPUQuota=`; above `100%` is more than one CPU."; };
    cpu_weight = unsaid (types.ints.between 1 10000) { description = "`CPUWeight=`"; };
    io_weight = unsaid (types.ints.between 1 10000) { description = "`IOWeight=`"; };
    files_max = unsaid amount { description = "`LimitNOFILE=`"; };
  };

  word = types.oneOf [
    types.bool
    types.number
    types.str
  ];
  directives = mkOption {
    type = types.attrsOf (types.either word (types.listOf word));
    default = { };
    description = "Directives of this section, verbatim; a list is several lines.";
  };

  service = {
    freeformType = (pkgs.formats.toml { }).type;
    options = {
      command = mkOption {
        type = types.nonEmptyListOf types.str;
        example = lib.literalExpression ''[ (lib.getExe pkgs.hello) "--greeting=hi" ]'';
        description = "The program and its arguments.";
      };
      description = unsaid types.str { description = "One line for people."; };
      type = unsaid (types.enum [
        "notify"
        "exec"
      ]) { description = "`notify` says itself when it is ready, by {manpage}`sd_notify(3)`; `null` is `exec`."; };
      after = mkOption {
        type = types.listOf types.str;
        default = [ ];
        example = [ "fs" ];
        description = "Services that must be Healthy first.";
      };
      activation = unsaid (types.enum [
        "always"
        "on-demand"
      ]) { description = "`on-demand` waits for the first client of its socket; `null` is `always`."; };
      profile = unsaid (types.enum [
        "plain"
        "sealed"
        "machine"
      ]) { description = "How much is taken away from it; `null` is `plain`."; };
      state_directory = unsaid types.bool { description = "A directory of its own that survives, in `$STATE_DIRECTORY`."; };
      start_timeout = unsaid amount { description = "Until it must be ready; `null` is 30 seconds."; };
      stop_timeout = unsaid amount { description = "From SIGTERM to SIGKILL; `null` is 10 seconds."; };
      environment = mkOption {
        type = types.attrsOf types.str;
        default = { };
        description = "Variables; those that start with `STRATA_` are Strata's. The Nix store can be read by everybody.";
      };
      credentials = mkOption {
        type = types.attrsOf secretFile;
        default = { };
        example.wiki-key = "/run/secrets/wiki";
        description = "Files that systemd reads as root and shows it in `$CREDENTIALS_DIRECTORY`.";
      };
      socket = unsaid (types.submodule socket) { description = "A socket that systemd listens on for it."; };
      health = unsaid (types.submodule health) { description = "How it is known to be alive."; };
      restart = table restart { description = "How often and how fast it is restarted."; };
      limits = table limits { description = "Resources, enforced by the kernel."; };
      unit = table (lib.genAttrs [ "Unit" "Service" "Socket" ] (_: directives)) {
        description = "systemd directives verbatim; they win over what the profile says.";
      };
    };
  };
in
{
  options.services.strata.services = mkOption {
    type = types.attrsOf (types.submodule service);
    default = { };
    example = lib.literalExpression ''
      {
        wiki = {
          command = [ (lib.getExe pkgs.gollum) "/srv/wiki" ];
          profile = "sealed";
          limits.memory_max = "256M";
        };
      }
    '';
    description = ''
      Services of your own, each one a manifest in {file}`/etc/strata/services.d`, checked when the system is built.
      A change is applied by a reload: only what changed restarts.
    '';
  };
}
