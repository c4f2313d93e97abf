# SPDX-License-Identifier: MIT
# Types made of types, and submodules.
lib:
let
  inherit (builtins)
    all
    concatLists
    isAttrs
    isFunction
    isList
    isPath
    mapAttrs
    ;
  inherit (lib) mergeDefinitions mergeOneOption mkOptionType;
  set =
    name: words: isLazy: type:
    mkOptionType {
      inherit name;
      description = "${words} of ${type.description}";
      check = isAttrs;
      emptyValue.value = { };
      getSubOptions = loc: type.getSubOptions (loc ++ [ "<name>" ]);
      merge =
        loc: defs:
        let
          pushed = lib.concatMap (
            def: map (value: def // { inherit value; }) (lib.pushDownProperties def.value)
          ) defs;
          merged = lib.genAttrs (lib.attrNames (lib.mergeAttrsList (map (one: one.value) pushed))) (
            name:
            mergeDefinitions (loc ++ [ name ]) type (
              lib.concatMap (
                one: lib.optional (one.value ? ${name}) (one // { value = one.value.${name}; })
              ) pushed
            )
          );
        in
        # Whether a name is there is known before its values only where conditions may be ignored.
        mapAttrs (_: one: one.value) (
          if isLazy then merged else lib.filterAttrs (_: one: one.isDefined || type.emptyValue ? value) merged
        );
    };
in
rec {
  attrsOf = set "attrsOf" "attribute set" false;
  lazyAttrsOf = set "lazyAttrsOf" "lazy attribute set" true;
  listOf =
    type:
    mkOptionType {
      name = "listOf";
      description = "list of ${type.description}";
      check = isList;
      emptyValue.value = [ ];
      getSubOptions = loc: type.getSubOptions (loc ++ [ "*" ]);
      merge =
        loc: defs:
        map (one: one.value) (
          lib.filter (one: one.isDefined) (
            concatLists (
              lib.imap1 (
                at: def:
                lib.imap1 (
                  index: value:
                  mergeDefinitions (loc ++ [ "[definition ${toString at}-entry ${toString index}]" ]) type [
                    (def // { inherit value; })
                  ]
                ) def.value
              ) defs
            )
          )
        );
    };
  nonEmptyListOf =
    type:
    addCheck (listOf type) (value: value != [ ])
    // {
      description = "non-empty list of ${type.description}";
      emptyValue = { };
    };
  nullOr =
    type:
    mkOptionType {
      name = "nullOr";
      description = "null or ${type.description}";
      check = value: value == null || type.check value;
      emptyValue.value = null;
      inherit (type) getSubOptions;
      merge =
        loc: defs:
        let
          nulls = lib.count (one: one.value == null) defs;
        in
        if nulls == builtins.length defs then
          null
        else if nulls != 0 then
          throw "The option `${lib.showOption loc}` is defined both null and not null, in ${lib.showFiles (map (one: one.file) defs)}."
        else
          type.merge loc defs;
    };
  either =
    one: other:
    mkOptionType {
      name = "either";
      description = "${one.description} or ${other.description}";
      check = value: one.check value || other.check value;
      merge =
        loc: defs:
        if all (def: one.check def.value) defs then
          one.merge loc defs
        else if all (def: other.check def.value) defs then
          other.merge loc defs
        else
          mergeOneOption loc defs;
    };
  oneOf = types: lib.foldl' either (lib.head types) (lib.tail types);
  coercedTo =
    from: coerce: to:
    mkOptionType {
      name = "coercedTo";
      description = "${to.description} or ${from.description} convertible to it";
      check = value: (from.check value && to.check (coerce value)) || to.check value;
      inherit (to) emptyValue getSubOptions;
      merge =
        loc: defs:
        to.merge loc (
          map (def: def // { value = if from.check def.value then coerce def.value else def.value; }) defs
        );
    };
  addCheck = type: check: type // { check = value: type.check value && check value; };
  unique =
    { message }:
    type:
    type
    // {
      merge =
        loc: defs:
        if builtins.length defs == 1 then
          type.merge loc defs
        else
          throw "The option `${lib.showOption loc}' is defined multiple times while it's expected to be unique.\n${message}\nDefinition values:${lib.showDefs defs}";
    };
  uniq = unique { message = ""; };

  submodule =
    module:
    submoduleWith {
      modules = lib.toList module;
      shorthandOnlyDefinesConfig = true;
    };
  submoduleWith =
    {
      modules,
      specialArgs ? { },
      shorthandOnlyDefinesConfig ? false,
      description ? null,
      class ? null,
    }:
    let
      at =
        loc: defs:
        lib.evalModules {
          inherit specialArgs;
          prefix = loc;
          modules = modules ++ [ { _module.args.name = lib.last loc; } ] ++ defs;
        };
      # A set is a definition of values, even where it has a key called `options`; a function or a path is a module.
      asModule =
        def:
        if isAttrs def.value && shorthandOnlyDefinesConfig then
          {
            _file = def.file;
            config = def.value;
          }
        else if isAttrs def.value && !(def.value ? _type) then
          { _file = def.file; } // def.value
        else
          {
            _file = def.file;
            imports = [ def.value ];
          };
    in
    mkOptionType {
      name = "submodule";
      description = if description == null then "submodule" else description;
      check = value: isAttrs value || isFunction value || isPath value;
      emptyValue.value = { };
      getSubOptions = loc: (at loc [ ]).options;
      merge = loc: defs: (at loc (map asModule defs)).config;
    };
  deferredModule = mkOptionType {
    name = "deferredModule";
    description = "module";
    check = value: isAttrs value || isFunction value || isPath value;
    merge = _: defs: {
      imports = map (def: {
        _file = def.file;
        imports = [ def.value ];
      }) defs;
    };
  };

  # What pkgs.formats.toml takes (types.toml in newer nixpkgs).
  toml = oneOf [
    lib.types.bool
    lib.types.int
    lib.types.float
    lib.types.str
    lib.types.path
    (attrsOf toml)
    (listOf toml)
  ]
  // {
    description = "TOML value";
  };
}
