# SPDX-License-Identifier: MIT
# Strata with everything that it needs.
{ pkgs }:
let
  inherit (pkgs) lib;
  # The Python that libraries.json has wheels for.
  python = pkgs.python313;
  inherit (python.pkgs.callPackage ./libraries.nix { inherit (pkgs) systemd; }) libraries forTests;
  library = python.pkgs.callPackage ./library.nix {
    inherit libraries;
    inherit (pkgs) libseccomp;
  };
  pythonEnv = python.withPackages (_: [ library ]);
  testEnv = python.withPackages (_: [ library ] ++ forTests);
  path = lib.makeBinPath (import ../modules/programs.nix pkgs);
in
{
  inherit (libraries) pystemd pyseto;

  # strata-python is the interpreter that services run with: it finds Strata and its libraries.
  strata =
    pkgs.runCommand "strata-${library.version}"
      {
        inherit (library) version;
        pname = "strata";
        passthru = { inherit library pythonEnv testEnv; };
        meta = {
          description = (lib.importTOML ../../pyproject.toml).project.description;
          license = lib.licenses.mit;
          mainProgram = "strata-ctl";
          platforms = [
            "x86_64-linux"
            "aarch64-linux"
          ];
        };
      }
      ''
        mkdir -p $out/bin
        ln -s ${pythonEnv}/bin/python3 $out/bin/strata-python
        for program in strata strata-ctl; do
          printf '%s\n' '#!${pkgs.runtimeShell}' 'export STRATA_PATH="''${STRATA_PATH-${path}}"' \
            "exec ${pythonEnv}/bin/$program \"\$@\"" > $out/bin/$program
          chmod +x $out/bin/$program
        done
        for page in ${../../strata/man}/*.[1-8]; do
          install -D -m 0644 -t $out/share/man/man''${page##*.} $page
        done
        cd ${../../strata/completion}
        install -D -m 0644 strata-ctl.bash $out/share/bash-completion/completions/strata-ctl
        install -D -m 0644 -t $out/share/zsh/site-functions _strata-ctl
        install -D -m 0644 -t $out/share/fish/vendor_completions.d strata-ctl.fish
      '';
}
