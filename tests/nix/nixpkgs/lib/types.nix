# SPDX-License-Identifier: MIT
# Types of one value: { name, description, check, merge }, as in nixpkgs.
lib:
let
  inherit (builtins)
    all
    isAttrs
    isBool
    isFloat
    isFunction
    isInt
    isList
    isPath
    isString
    match
    ;
  inherit (lib) mergeEqualOption mergeOneOption mkOptionType;
  plain =
    name: description: check:
    mkOptionType {
      inherit name description check;
      merge = mergeEqualOption;
    };
  between =
    low: high:
    plain "intBetween" "integer between ${toString low} and ${toString high} (both inclusive)" (
      value: isInt value && value >= low && value <= high
    );
  unsigned = bits: limit: plain "unsignedInt${toString bits}" "${toString bits} bit unsigned integer; between 0 and ${toString limit} (both inclusive)" (
    value: isInt value && value >= 0 && value <= limit
  );
  separated =
    name: description: separator:
    mkOptionType {
      inherit name description;
      check = isString;
      merge = _: defs: builtins.concatStringsSep separator (map (one: one.value) defs);
    };
in
rec {
  inherit (lib) isOptionType;
  raw = mkOptionType {
    name = "raw";
    description = "raw value";
    merge = mergeOneOption;
  };
  unspecified = mkOptionType {
    name = "unspecified";
    description = "unspecified value";
  };
  anything = mkOptionType {
    name = "anything";
    description = "anything";
    merge =
      loc: defs:
      if all (one: isAttrs one.value && !lib.isDerivation one.value) defs then
        (lib.types.lazyAttrsOf anything).merge loc defs
      else if all (one: isList one.value) defs && builtins.length defs > 1 then
        throw "The option `${lib.showOption loc}' has conflicting definition values:${lib.showDefs defs}"
      else
        mergeEqualOption loc defs;
  };
  optionType = mkOptionType {
    name = "optionType";
    description = "optionType";
    check = value: value._type or null == "option-type";
    merge = mergeOneOption;
  };
  bool = plain "bool" "boolean" isBool;
  int = plain "int" "signed integer" isInt;
  ints = {
    inherit between;
    unsigned = plain "unsignedInt" "unsigned integer, meaning >=0" (value: isInt value && value >= 0);
    positive = plain "positiveInt" "positive integer, meaning >0" (value: isInt value && value > 0);
    u8 = unsigned 8 255;
    u16 = unsigned 16 65535;
    u32 = unsigned 32 4294967295;
  };
  port = ints.u16;
  float = plain "float" "floating point number" isFloat;
  number = lib.types.either int float;
  str = plain "str" "string" isString;
  nonEmptyStr = plain "nonEmptyStr" "non-empty string" (
    value: isString value && match "[[:space:]]*" value == null
  );
  singleLineStr = plain "singleLineStr" "(optionally newline-terminated) single-line string" (
    value: isString value && match "[^\n\r]*\n?" value != null
  );
  strMatching =
    pattern:
    plain "strMatching ${lib.escapeNixIdentifier pattern}" "string matching the pattern ${pattern}" (
      value: isString value && match pattern value != null
    );
  lines = separated "separatedString" ''strings concatenated with "\n"'' "\n";
  commas = separated "separatedString" ''strings concatenated with ","'' ",";
  envVar = separated "separatedString" ''strings concatenated with ":"'' ":";
  separatedString = separator: separated "separatedString" "strings concatenated with ${builtins.toJSON separator}" separator;
  path = plain "path" "absolute path" (
    value: lib.isStringLike value && builtins.substring 0 1 (toString value) == "/"
  );
  pathInStore = plain "pathInStore" "path in the Nix store" (
    value: lib.isStringLike value && match "${builtins.storeDir}/[^.].*" (toString value) != null
  );
  externalPath = plain "externalPath" "absolute path not in the Nix store" (
    value: path.check value && !pathInStore.check value
  );
  pathWith =
    {
      inStore ? null,
      absolute ? null,
    }:
    plain "path" "path" (
      value:
      lib.isStringLike value
      && (inStore == null || inStore == pathInStore.check value)
      && (absolute == null || absolute == path.check value)
    );
  package = mkOptionType {
    name = "package";
    description = "package";
    check = value: lib.isDerivation value || lib.isStorePath value;
    merge =
      loc: defs:
      let
        found = mergeOneOption loc defs;
      in
      if isAttrs found then found else { outPath = found; type = "derivation"; name = baseNameOf found; };
  };
  shellPackage = package // {
    check = value: lib.isDerivation value && value ? shellPath;
  };
  attrs = mkOptionType {
    name = "attrs";
    description = "attribute set";
    check = isAttrs;
    merge = _: lib.foldl' (whole: one: whole // one.value) { };
    emptyValue.value = { };
  };
  enum =
    values:
    mkOptionType {
      name = "enum";
      description =
        if builtins.length values == 1 then
          "value ${lib.show (builtins.head values)} (singular enum)"
        else
          "one of ${lib.concatMapStringsSep ", " lib.show values}";
      check = value: builtins.elem value values;
      merge = mergeEqualOption;
    };
  functionTo =
    type:
    mkOptionType {
      name = "functionTo";
      description = "function that evaluates to a(n) ${type.description}";
      check = isFunction;
      merge =
        loc: defs: argument:
        (lib.mergeDefinitions (loc ++ [ "<function body>" ]) type (
          map (one: one // { value = one.value argument; }) defs
        )).value;
    };
}
