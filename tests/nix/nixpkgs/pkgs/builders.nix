# SPDX-License-Identifier: MIT
# Derivations that /bin/sh builds with the programs of this machine.
{ lib, system }:
let
  own = [
    "passthru"
    "meta"
    "nativeBuildInputs"
    "buildInputs"
    "preferLocalBuild"
    "allowSubstitutes"
    "passAsFile"
    "env"
  ];
  given = more: {
    meta = more.meta or { };
  } // more.passthru or { };
in
rec {
  runCommand =
    name: more: script:
    derivation (
      {
        inherit name system;
        builder = "/bin/sh";
        args = [
          "-euc"
          script
        ];
        PATH = "${lib.makeBinPath (more.nativeBuildInputs or [ ])}:/usr/sbin:/usr/bin:/sbin:/bin";
      }
      // removeAttrs more own
      // more.env or { }
    )
    // given more;
  runCommandLocal = runCommand;

  # A package that is only named: it cannot be built.
  absent =
    name: more:
    derivation {
      inherit name system;
      builder = "/bin/sh";
      args = [
        "-c"
        "echo the stand-in does not have ${name} >&2; exit 1"
      ];
    }
    // { meta = { }; }
    // more;

  writeTextFile =
    {
      name,
      text,
      executable ? false,
      destination ? "",
    }:
    runCommand name { inherit text; } ''
      mkdir -p "$(dirname "$out${destination}")"
      printf %s "$text" > "$out${destination}"
      ${lib.optionalString executable ''chmod +x "$out${destination}"''}
    ''
    // { inherit text; };
  writeText = name: text: writeTextFile { inherit name text; };
  writeTextDir =
    path: text:
    writeTextFile {
      inherit text;
      name = baseNameOf path;
      destination = "/${path}";
    };
  writeShellScript =
    name: text:
    writeTextFile {
      inherit name;
      text = "#!/bin/sh\n${text}";
      executable = true;
    };
  writeShellScriptBin =
    name: text:
    writeTextFile {
      inherit name;
      text = "#!/bin/sh\n${text}";
      executable = true;
      destination = "/bin/${name}";
    }
    // { meta.mainProgram = name; };
  writeShellApplication =
    {
      name,
      text,
      runtimeInputs ? [ ],
      ...
    }:
    writeShellScriptBin name "export PATH=${lib.makeBinPath runtimeInputs}:$PATH\n${text}";
  buildEnv =
    { name, paths, ... }@more:
    runCommand name
      (removeAttrs more [
        "name"
        "paths"
        "pathsToLink"
        "ignoreCollisions"
        "extraOutputsToInstall"
        "postBuild"
      ])
      ''
        mkdir $out
        for tree in ${toString paths}; do cp -rs "$tree"/. $out/; done
        ${more.postBuild or ""}
      '';
  symlinkJoin = buildEnv;
  linkFarm =
    name: entries:
    runCommand name { } (
      "mkdir $out\n"
      + lib.concatMapStrings (one: ''
        mkdir -p "$(dirname "$out/${one.name}")"
        ln -s ${one.path} "$out/${one.name}"
      '') (if lib.isAttrs entries then lib.mapAttrsToList (name: path: { inherit name path; }) entries else entries)
    );
  mkShell =
    more:
    absent (more.name or "shell") {
      packages = map (one: if lib.isDerivation one then one else throw "mkShell: a package is none") (
        more.packages or [ ] ++ more.nativeBuildInputs or [ ] ++ more.buildInputs or [ ]
      );
    };
  mkShellNoCC = mkShell;

  # What nixpkgs has as functions of its builds are programs here.
  makeWrapper = writeShellScriptBin "makeWrapper" ''
    program=$1 wrapper=$2; shift 2
    {
      echo '#!/bin/sh'
      while [ $# -gt 0 ]; do
        case $1 in
          --set) echo "export $2='$3'"; shift 3 ;;
          --set-default) echo "export $2=\"\''${$2-$3}\""; shift 3 ;;
          --prefix) echo "export $2=\"$4\''${$2:+$3\$$2}\""; shift 4 ;;
          --add-flags) flags="$flags $2"; shift 2 ;;
          *) echo "makeWrapper does not understand $1" >&2; exit 1 ;;
        esac
      done
      echo "exec $program$flags \"\$@\""
    } > "$wrapper"
    chmod +x "$wrapper"
  '';
  installShellFiles = buildEnv {
    name = "install-shell-files";
    paths = [
      (writeShellScriptBin "installManPage" ''
        for page; do
          [ -f "$page" ] || { echo "installManPage: $page is not there" >&2; exit 1; }
          section=share/man/man"\''${page##*.}"
          mkdir -p "$out/$section"
          cp "$page" "$out/$section/"
        done
      '')
      (writeShellScriptBin "installShellCompletion" ''
        case $1 in
          --bash) place=bash-completion/completions ;;
          --zsh) place=zsh/site-functions ;;
          --fish) place=fish/vendor_completions.d ;;
          *) echo "installShellCompletion does not understand $1" >&2; exit 1 ;;
        esac
        mkdir -p "$out/share/$place"
        cp "$2" "$out/share/$place/"
      '')
    ];
  };
}
