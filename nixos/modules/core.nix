# SPDX-License-Identifier: MIT
# Which services of Strata's own run, and what identity is told.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ./types.nix { inherit lib; }) secretFile unsaid;
  runs =
    what:
    mkOption {
      type = types.bool;
      default = true;
      description = "Whether this node runs ${what}.";
    };
in
{
  options.services.strata = {
    registry.enable = runs "the registry: which service answers where";
    identity.enable = runs "identity: it issues and revokes capability tokens";
    fs.enable = runs "fs: files beneath a token's prefix";

    identity.keyFile = unsaid secretFile {
      example = "/run/secrets/strata-identity";
      description = ''
        The seed of identity's Ed25519 signing key: a file of 32 bytes, of 64 hexadecimal digits, or of 44 characters of base64,
        which only root can read. systemd hands it to identity as a credential; it never is in the Nix store.
        `null`: identity makes its keys itself and keeps them in {file}`/var/lib/strata/identity`.
      '';
    };
  };
}
