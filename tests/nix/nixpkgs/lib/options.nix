# SPDX-License-Identifier: MIT
# Declaring options, and merging what several modules define for one.
lib:
let
  inherit (builtins)
    all
    foldl'
    head
    length
    ;
  inherit (lib) showOption;
in
rec {
  mkOption = option: option // { _type = "option"; };
  mkOptionType =
    type:
    {
      _type = "option-type";
      check = _: true;
      merge = mergeDefault;
      emptyValue = { };
      getSubOptions = _: { };
      deprecationMessage = null;
    }
    // type
    // {
      description = type.description or type.name;
    };
  isOptionType = value: value._type or null == "option-type";
  # What is merged without a type is so by its looks.
  mergeDefault =
    loc: defs:
    let
      values = map (one: one.value) defs;
    in
    if length values == 1 then
      head values
    else if all lib.isList values then
      lib.concatLists values
    else if all lib.isAttrs values then
      foldl' lib.recursiveUpdate { } values
    else if all lib.isBool values then
      lib.any lib.id values
    else if all lib.isString values then
      lib.concatStrings values
    else if all lib.isInt values && all (value: value == head values) values then
      head values
    else
      throw "Cannot merge definitions of `${showOption loc}'. Definition values:${showDefs defs}";
  isOption = value: value._type or "" == "option";
  mkEnableOption =
    what:
    mkOption {
      type = lib.types.bool;
      default = false;
      example = true;
      description = "Whether to enable ${what}.";
    };
  mkPackageOption =
    pkgs: name:
    {
      nullable ? false,
      default ? name,
      example ? null,
      extraDescription ? "",
      pkgsText ? "pkgs",
    }:
    let
      path = lib.toList default;
    in
    mkOption (
      {
        type = if nullable then lib.types.nullOr lib.types.package else lib.types.package;
        description = "The ${name} package to use. ${extraDescription}";
      }
      // (
        if default == null then
          { default = null; }
        else
          {
            default = lib.attrByPath path (throw "${lib.showOption path} cannot be found in ${pkgsText}") pkgs;
            defaultText = literalExpression "${pkgsText}.${showOption path}";
          }
      )
      // lib.optionalAttrs (example != null) { inherit example; }
    );
  literalExpression = text: {
    _type = "literalExpression";
    inherit text;
  };
  literalMD = text: {
    _type = "literalMD";
    inherit text;
  };
  mdDoc = text: text;

  showFiles = builtins.concatStringsSep " and ";
  showDefs = lib.concatMapStrings (one: "\n- In `${one.file}': ${lib.show one.value}");
  mergeOneOption =
    loc: defs:
    if length defs == 1 then
      (head defs).value
    else
      throw "The option `${showOption loc}' is defined multiple times while it's expected to be unique.\nDefinition values:${showDefs defs}\nUse `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions.";
  mergeEqualOption =
    loc: defs:
    if all (one: one.value == (head defs).value) defs then
      (head defs).value
    else
      throw "The option `${showOption loc}' has conflicting definition values:${showDefs defs}\nUse `lib.mkForce value` or `lib.mkDefault value` to change the priority on any of these definitions.";

  # Every option of a tree, with those of submodules under <name> and *.
  optionAttrSetToDocList =
    let
      of =
        options:
        lib.concatMap (
          option:
          let
            below = of (option.type.getSubOptions or (_: { }) option.loc);
            one = {
              name = showOption option.loc;
              loc = option.loc;
              description = option.description or null;
              type = option.type.description or "unspecified";
              internal = option.internal or false;
              readOnly = option.readOnly or false;
              visible = option.visible or true;
              default =
                if option ? defaultText then
                  option.defaultText.text or option.defaultText
                else if option ? default then
                  lib.show option.default
                else
                  null;
            };
          in
          [ one ] ++ lib.optionals (option.visible or true == true) below
        ) (collect options);
      collect =
        value:
        if isOption value then
          [ value ]
        else if lib.isAttrs value then
          lib.concatMap collect (lib.attrValues (removeAttrs value [ "_module" ]))
        else
          [ ];
    in
    of;
}
