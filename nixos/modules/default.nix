# SPDX-License-Identifier: MIT
{
  imports = [
    ./options.nix
    ./core.nix
    ./services-options.nix
    ./sandbox.nix
    ./api.nix
    ./configuration.nix
    ./assertions.nix
    ./unit.nix
    ./predecessor.nix
  ];
}
