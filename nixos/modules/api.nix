# SPDX-License-Identifier: MIT
# The door: REST, WebSocket, gRPC and MCP on one port.
{ config, lib, ... }:
let
  inherit (lib) mkIf mkOption types;
  inherit (import ./types.nix { inherit lib; }) secretFile unsaid;
  cfg = config.services.strata;
  # HOST:PORT, with the brackets that an IPv6 address needs there (RFC 3986, 3.2.2).
  host = if lib.hasInfix ":" cfg.api.address then "[${cfg.api.address}]" else cfg.api.address;
in
{
  options.services.strata.api = {
    enable = mkOption {
      type = types.bool;
      default = true;
      description = "Whether this node runs the door of its sandboxes: HTTP, WebSocket, gRPC and MCP.";
    };
    address = mkOption {
      type = types.strMatching "[^][[:space:]]+";
      default = "127.0.0.1";
      example = "::";
      description = "Address that the door listens on, without brackets. Whoever reaches it needs a token.";
    };
    port = mkOption {
      type = types.port;
      default = 2280;
      description = "TCP port of the door, for all its protocols.";
    };
    tls = {
      certificateFile = unsaid secretFile {
        example = "/var/lib/acme/strata.example/fullchain.pem";
        description = "Certificate chain in PEM; with it the door speaks TLS only. systemd reads the file and hands it to the door.";
      };
      keyFile = unsaid secretFile {
        example = "/var/lib/acme/strata.example/key.pem";
        description = "Private key of the certificate, in PEM; it never is in the Nix store.";
      };
    };
    openFirewall = mkOption {
      type = types.bool;
      default = false;
      description = "Whether the firewall lets others reach the door's port.";
    };
  };

  config = mkIf cfg.enable {
    services.strata.settings.api = mkIf cfg.api.enable {
      address = "${host}:${toString cfg.api.port}";
      tls_certificate = mkIf (cfg.api.tls.certificateFile != null) cfg.api.tls.certificateFile;
      tls_key = mkIf (cfg.api.tls.keyFile != null) cfg.api.tls.keyFile;
    };
    networking.firewall.allowedTCPPorts = mkIf (cfg.api.enable && cfg.api.openFirewall) [ cfg.api.port ];
  };
}
