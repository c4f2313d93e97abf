# SPDX-License-Identifier: MIT
[
  ./base/nixpkgs.nix
  ./base/options.nix
  ./base/environment.nix
  ./base/users.nix
  ./base/units.nix
  ./base/system.nix
]
