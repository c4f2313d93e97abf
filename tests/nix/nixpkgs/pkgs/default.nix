# SPDX-License-Identifier: MIT
# A name that nixpkgs lacks is lacking here. What nothing of ours is made of is only a name; the rest truly builds.
{
  lib,
  system,
  config,
  overlays,
}:
pkgs:
let
  build = import ./builders.nix { inherit lib system; };
  named =
    pname:
    build.runCommand pname { meta.mainProgram = pname; } "mkdir -p $out/bin"
    // {
      inherit pname;
      version = "0";
    };
  names = [
    "acl"
    "autoPatchelfHook"
    "bash"
    "bashInteractive"
    "btrfs-progs"
    "bubblewrap"
    "coreutils"
    "curl"
    "e2fsprogs"
    "findutils"
    "fuse3"
    "fuse-overlayfs"
    "git"
    "gnugrep"
    "gnused"
    "groff"
    "gollum"
    "gzip"
    "hello"
    "iproute2"
    "jq"
    "libseccomp"
    "mypy"
    "nixfmt"
    "nixfmt-rfc-style"
    "nixfmt-tree"
    "nodejs"
    "openssl"
    "pkg-config"
    "procps"
    "ruff"
    "systemd"
    "util-linux"
    "uv"
  ];
in
lib.genAttrs names named
// build
// import ./formats.nix { inherit lib build; }
// {
  inherit
    lib
    system
    config
    overlays
    pkgs
    ;
  stdenv = {
    hostPlatform = {
      inherit system;
      isLinux = true;
      config = system;
    };
    buildPlatform = {
      inherit system;
      canExecute = other: other.system == system;
    };
    isLinux = true;
    cc.cc.lib = named "gcc-lib";
  };
  python3 = import ./python.nix {
    inherit lib build system;
    all = pkgs;
  };
  python3Packages = pkgs.python3.pkgs;
  python313 = pkgs.python3;
  python312 = pkgs.python3;
  path = toString ../.;
  # The only shell that is always there.
  runtimeShell = "/bin/sh";
  extend =
    overlay:
    import ../. {
      inherit system config;
      overlays = overlays ++ [ overlay ];
    };
  callPackage =
    file: given:
    let
      f = if builtins.isFunction file then file else import file;
    in
    f (builtins.intersectAttrs (builtins.functionArgs f) pkgs // given);
  testers.runNixOSTest = module: import ../nixos/lib/testing.nix { inherit lib pkgs module; };
  nixosOptionsDoc = import ../nixos/lib/options-doc.nix { inherit lib pkgs; };
}
