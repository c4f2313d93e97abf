# SPDX-License-Identifier: MIT
# What is wrong with a configuration as a whole, in sentences that say what to do. The rest is found by types, and by
# `strata-ctl config check` when the system is built.
{ config, lib, ... }:
let
  inherit (lib) concatStringsSep filter mkIf optional;
  cfg = config.services.strata;
  needs = (import ./rendered.nix).core;
  core = lib.attrNames needs;
  enabled = filter (name: cfg.${name}.enable) core;
  names = lib.attrNames cfg.services;
  # What is said for one is said for each: a list of sentences becomes a list of failed assertions.
  refused = map (message: {
    assertion = false;
    inherit message;
  });

  inherit (cfg.api) address tls;
  isLoopback = address == "localhost" || address == "::1" || lib.hasPrefix "127." address;
  hasTls = tls.certificateFile != null && tls.keyFile != null;

  missing =
    name:
    let
      others = filter (other: lib.elem name needs.${other}) enabled;
    in
    optional (others != [ ] && !cfg.${name}.enable)
      "services.strata.${name}.enable = false: ${concatStringsSep ", " others} cannot do without it. Enable it, or disable them too.";

  unknown =
    name:
    map (
      other:
      "services.strata.services.${name}.after names ${other}, which ${
        if lib.elem other core then
          "is disabled: set services.strata.${other}.enable = true, or leave it out."
        else
          "is no service: it may name ${concatStringsSep ", " (core ++ lib.remove name names)}."
      }"
    ) (filter (other: !lib.elem other (enabled ++ names)) cfg.services.${name}.after);

  misnamed =
    name:
    if lib.elem name (core ++ [ "supervisor" ]) then
      [ "services.strata.services.${name}: this is the name of a service of Strata's own. Choose another one." ]
    else
      optional (builtins.match "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}" name == null)
        "services.strata.services: ${builtins.toJSON name} is no name for a service: it must be 1 to 64 letters, digits, '_', '.' and '-', and start with a letter or a digit.";
in
{
  config = mkIf cfg.enable {
    assertions =
      refused (
        lib.concatMap missing core ++ lib.concatMap misnamed names ++ lib.concatMap unknown names
      )
      ++ [
        {
          assertion = (tls.certificateFile == null) == (tls.keyFile == null);
          message = "services.strata.api.tls: a certificate needs its key and a key its certificate. Set both certificateFile and keyFile, or none.";
        }
        {
          assertion = cfg.api.openFirewall -> cfg.api.enable && !isLoopback;
          message = "services.strata.api.openFirewall opens a port that nobody can reach: the door listens on ${address} only. Set services.strata.api.address, for example to \"::\", or leave openFirewall out.";
        }
        {
          assertion = (cfg.settings.api.insecure_no_auth or false) -> isLoopback;
          message = "services.strata.settings.api.insecure_no_auth gives everybody who reaches ${address} all sandboxes. It is for loopback addresses only: leave it out, and use tokens.";
        }
      ];

    warnings =
      optional (cfg.api.enable && !isLoopback && !hasTls)
        "services.strata.api listens on ${address} without TLS: tokens can be read on the network. Set services.strata.api.tls, or listen on 127.0.0.1 behind a proxy that speaks TLS.";
  };
}
