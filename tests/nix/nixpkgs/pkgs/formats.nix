# SPDX-License-Identifier: MIT
# pkgs.formats: files of values. The text is plain to see during evaluation, too.
{ lib, build }:
let
  key = name: builtins.toJSON name;
  # TOML's basic strings are JSON's (toml.io, v1.0.0, "String"), and a table may stand in one line.
  inline =
    value:
    if lib.isDerivation value then
      builtins.toJSON "${value}"
    else if lib.isAttrs value then
      "{ ${lib.concatStringsSep ", " (lib.mapAttrsToList (name: one: "${key name} = ${inline one}") value)} }"
    else if lib.isList value then
      "[ ${lib.concatMapStringsSep ", " inline value} ]"
    else
      builtins.toJSON value;
  toTOML = value: lib.concatStrings (lib.mapAttrsToList (name: one: "${key name} = ${inline one}\n") value);
in
{
  formats = {
    toml =
      { }:
      {
        type = lib.types.toml;
        generate = name: value: build.writeText name (toTOML value) // { inherit value; };
      };
    json =
      { }:
      {
        type = lib.types.anything;
        generate = name: value: build.writeText name (builtins.toJSON value) // { inherit value; };
      };
  };
}
