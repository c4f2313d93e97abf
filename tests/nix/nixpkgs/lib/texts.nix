# SPDX-License-Identifier: MIT
# Strings.
lib:
let
  inherit (builtins)
    concatStringsSep
    isAttrs
    isPath
    isString
    match
    replaceStrings
    split
    stringLength
    substring
    toJSON
    ;
in
rec {
  inherit (builtins)
    concatStringsSep
    match
    replaceStrings
    splitVersion
    stringLength
    substring
    toJSON
    ;
  optionalString = condition: text: if condition then text else "";
  concatStrings = concatStringsSep "";
  concatMapStrings = f: list: concatStrings (map f list);
  concatMapStringsSep =
    separator: f: list:
    concatStringsSep separator (map f list);
  concatMapAttrsStringSep =
    separator: f: set:
    concatStringsSep separator (lib.mapAttrsToList f set);
  concatLines = concatMapStrings (line: line + "\n");
  hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
  hasSuffix =
    suffix: text:
    let
      rest = stringLength text - stringLength suffix;
    in
    rest >= 0 && substring rest (-1) text == suffix;
  hasInfix = infix: text: builtins.length (splitString infix text) > 1;
  removePrefix =
    prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
  removeSuffix =
    suffix: text:
    if hasSuffix suffix text then substring 0 (stringLength text - stringLength suffix) text else text;
  splitString =
    separator: text:
    builtins.filter isString (split (escapeRegex separator) (builtins.unsafeDiscardStringContext text));
  stringToCharacters = text: builtins.genList (at: substring at 1 text) (stringLength text);
  escape = characters: replaceStrings characters (map (one: "\\${one}") characters);
  escapeRegex = escape (stringToCharacters "\\[{()^$?*+|.");
  escapeShellArg =
    value:
    let
      text = toString value;
    in
    if match "[[:alnum:],._+:@%/-]+" text != null then text else "'${replaceStrings [ "'" ] [ "'\\''" ] text}'";
  escapeShellArgs = concatMapStringsSep " " escapeShellArg;
  toUpper = replaceStrings (stringToCharacters "abcdefghijklmnopqrstuvwxyz") (stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
  toLower = replaceStrings (stringToCharacters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (stringToCharacters "abcdefghijklmnopqrstuvwxyz");
  trim = text: builtins.head (match "[[:space:]]*(.*[^[:space:]]|)[[:space:]]*" text);
  isStringLike = value: isString value || isPath value || value ? outPath || value ? __toString;
  isStorePath =
    value:
    isStringLike value
    && substring 0 1 (toString value) == "/"
    && dirOf (toString value) == builtins.storeDir;
  boolToString = value: if value then "true" else "false";
  fixedWidthNumber =
    width: number:
    let
      text = toString number;
    in
    concatStrings (builtins.genList (_: "0") (width - stringLength text)) + text;
  versionAtLeast = have: wanted: builtins.compareVersions have wanted >= 0;
  versionOlder = have: wanted: builtins.compareVersions have wanted < 0;
  isValidPosixName = name: match "[a-zA-Z_][a-zA-Z0-9_]*" name != null;

  # A name as one writes it in Nix: quoted where it must be.
  escapeNixIdentifier =
    name: if match "[a-zA-Z_][a-zA-Z0-9_'-]*" name != null then name else toJSON name;
  showOption =
    let
      part =
        name: if match "<.*>" name != null || name == "*" then name else escapeNixIdentifier name;
    in
    concatMapStringsSep "." part;
  generators.toPretty = _: show;
  # A value as an error message shows it.
  show =
    value:
    if builtins.isFunction value then
      "<function>"
    else if lib.isDerivation value then
      "<derivation ${value.name or "?"}>"
    else if isAttrs value then
      "{ ${concatStrings (lib.mapAttrsToList (name: one: "${escapeNixIdentifier name} = ${show one}; ") value)}}"
    else if builtins.isList value then
      "[ ${concatMapStrings (one: show one + " ") value}]"
    else if isPath value then
      toString value
    else
      toJSON value;
  strings = {
    inherit
      concatStringsSep
      escapeNixIdentifier
      hasPrefix
      isStringLike
      toJSON
      ;
  };
}
