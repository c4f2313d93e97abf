# SPDX-License-Identifier: MIT
{
  imports = [
    ./options.nix
    ./services.nix
  ];
}
