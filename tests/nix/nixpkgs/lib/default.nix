# SPDX-License-Identifier: MIT
# The parts of nixpkgs' lib that our files use, with its semantics and, where people see them, its words.
let
  lib =
    import ./sets.nix lib
    // import ./texts.nix lib
    // import ./options.nix lib
    // import ./properties.nix lib
    // import ./modules.nix lib
    // {
      types = import ./types.nix lib // import ./composed.nix lib;
      systems.elaborate = system: { inherit system; };
      version = "stand-in";
      trivial.release = "25.11";
    };
in
lib
