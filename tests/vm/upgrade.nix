# SPDX-License-Identifier: MIT
# upgrade.py is about the Debian package. On NixOS a switch upgrades: to other settings, to another manifest, and to
# another package, none of which may end a session or a service that they do not concern.
{
  name = "strata-upgrade";
  nodes.machine =
    {
      config,
      lib,
      pkgs,
      ...
    }:
    let
      sleeper.command = [
        "${pkgs.coreutils}/bin/sleep"
        "infinity"
      ];
    in
    {
      services.strata.services = {
        kept = sleeper;
        changed = sleeper;
      };
      specialisation = {
        settings.configuration.services.strata.settings.log_level = "debug";
        manifest.configuration.services.strata.services.changed.environment.SAID = "otherwise";
        # The same programs at another path, which is all that systemd sees of a new version.
        package.configuration.services.strata.package = lib.mkForce (
          pkgs.runCommand "strata-upgraded" { } ''
            mkdir $out
            cp -rs ${config.services.strata.package}/. $out
          ''
        );
      };
    };
  testScript = builtins.readFile ./nixos/upgrade.py;
}
