# SPDX-License-Identifier: MIT
# The module system: collect modules, join their options, and give each option the definitions that are for it.
lib:
let
  inherit (builtins)
    attrNames
    concatMap
    elem
    filter
    functionArgs
    hasAttr
    head
    isAttrs
    isFunction
    isPath
    isString
    mapAttrs
    removeAttrs
    seq
    typeOf
    ;
  inherit (lib)
    isOption
    mkOption
    optional
    showOption
    types
    ;

  structure = [
    "_class"
    "_file"
    "key"
    "disabledModules"
    "imports"
    "options"
    "config"
    "meta"
    "freeformType"
  ];

  # One module: { key, file, imports, options, config }.
  load =
    arguments: origin:
    { key, given }:
    let
      source = if isPath given || isString given then import given else given;
      file = if isPath given || isString given then toString given else body._file or origin;
      body = if isFunction source then apply source else source;
      # By name, so that asking for one that nobody gives fails only where it is used.
      apply =
        f:
        f (arguments // mapAttrs (name: _: arguments.${name} or arguments.config._module.args.${name}) (functionArgs f));
      isStructured = body ? config || body ? options;
      odd = attrNames (removeAttrs body structure);
      shorthand = removeAttrs body (lib.remove "meta" structure);
      freeform = optional (body ? freeformType) { _module.freeformType = body.freeformType; };
      meta = optional (isStructured && body ? meta) { inherit (body) meta; };
    in
    if !isAttrs body then
      throw "module ${file} (${key}) does not look like a module."
    else if body ? _type && body._type != "if" && body._type != "merge" && body._type != "override" then
      throw "Could not load a value as a module, because it is of type ${show body._type}, in file ${file}."
    else if body ? _type then
      {
        inherit key file;
        imports = [ ];
        options = { };
        config = body;
      }
    else if isStructured && odd != [ ] then
      throw "Module `${key}' has an unsupported attribute `${head odd}'. This is caused by introducing a top-level `config' or `options' attribute. Add configuration attributes immediately on the top level instead, or move all of them (namely: ${toString odd}) into the explicit `config' attribute."
    else
      {
        inherit key file;
        imports = lib.imap1 (keyed file key) (body.imports or [ ]);
        options = body.options or { };
        config = lib.mkMerge ([ (if isStructured then body.config or { } else shorthand) ] ++ freeform ++ meta);
      };
  show = builtins.toJSON;
  keyed = file: parent: index: given: {
    key =
      if isPath given || isString given then
        toString given
      else if isAttrs given && given ? key then
        given.key
      else
        "${parent}:anon-${toString index}";
    inherit given file;
  };
  collect =
    arguments: modules:
    builtins.genericClosure {
      startSet = map (one: load' arguments one) (lib.imap1 (keyed "<unknown-file>" "") modules);
      operator = module: map (load' arguments) module.imports;
    };
  load' = arguments: one: load arguments one.file { inherit (one) key given; };

  internal = {
    _module = {
      args = mkOption {
        type = types.lazyAttrsOf types.raw;
        internal = true;
      };
      check = mkOption {
        type = types.bool;
        default = true;
        internal = true;
      };
      freeformType = mkOption {
        type = types.nullOr types.raw;
        default = null;
        internal = true;
      };
    };
  };

  # What several modules declare at one place, and what they define there, to { options, config, strangers }.
  join =
    loc: decls: defs:
    let
      names = attrNames (lib.mergeAttrsList (map (one: one.options) decls));
      at = name: loc ++ [ name ];
      declared =
        name: concatMap (one: optional (one.options ? ${name}) (one // { options = one.options.${name}; })) decls;
      defined = name: concatMap (one: optional (one.value ? ${name}) (one // { value = one.value.${name}; })) defs;
      joined = lib.genAttrs names (
        name:
        let
          here = declared name;
          leaves = filter (one: isOption one.options) here;
          odd = filter (one: !isAttrs one.options || (!isOption one.options && one.options ? _type)) here;
        in
        if odd != [ ] then
          throw "In module ${(head odd).file}: expected an option declaration at option path `${showOption (at name)}' but got ${
            if isAttrs (head odd).options then
              "an attribute set with type ${(head odd).options._type}"
            else
              "a value of type ${typeOf (head odd).options}"
          }"
        else if leaves == [ ] then
          join (at name) here (concatMap (pushDown (at name)) (defined name))
        else if builtins.length here > 1 then
          throw "The option `${showOption (at name)}' in `${(lib.last here).file}' is already declared in ${(head here).file}."
        else
          rec {
            options = valueOf (at name) (head leaves) (defined name);
            config = options.value;
            strangers = [ ];
          }
      );
      below = concatMap (
        name: map (one: one // { path = [ name ] ++ one.path; }) joined.${name}.strangers
      ) names;
      own = concatMap (
        one:
        map (name: {
          inherit (one) file;
          path = [ name ];
          value = one.value.${name};
        }) (filter (name: !elem name names) (attrNames one.value))
      ) defs;
    in
    {
      options = mapAttrs (_: one: one.options) joined;
      config = mapAttrs (_: one: one.config) joined;
      strangers = own ++ below;
    };
  pushDown =
    loc: def:
    map (
      value:
      if isAttrs value && value._type or "" == "" then
        def // { inherit value; }
      else
        throw "In module `${def.file}', you're trying to define a value of type `${typeOf value}'\nrather than an attribute set for the option\n`${showOption loc}'!"
    ) (lib.pushDownProperties def.value);

  # An option with its value.
  valueOf =
    loc: decl: defs:
    let
      option = {
        type = types.unspecified;
      }
      // decl.options;
      default = optional (option ? default) {
        inherit (decl) file;
        value = lib.mkOptionDefault option.default;
      };
      merged = mergeDefinitions loc option.type (default ++ defs);
    in
    option
    // {
      inherit loc;
      declarations = [ decl.file ];
      inherit (merged) isDefined highestPrio;
      definitions = map (one: one.value) merged.final;
      definitionsWithLocations = merged.final;
      files = map (one: one.file) merged.final;
      value =
        if option.readOnly or false && builtins.length (default ++ defs) > 1 then
          throw "The option `${showOption loc}' is read-only, but it's set multiple times. Definition values:${lib.showDefs (default ++ defs)}"
        else
          (option.apply or lib.id) merged.value;
      __toString = _: showOption loc;
    };

  mergeDefinitions =
    loc: type: defs:
    let
      discharged = concatMap (def: map (value: def // { inherit value; }) (lib.dischargeProperties def.value)) defs;
      chosen = lib.strongest discharged;
      final = lib.inOrder chosen.values;
      wrong = filter (def: !type.check def.value) final;
    in
    {
      inherit final;
      inherit (chosen) highestPrio;
      isDefined = final != [ ];
      value =
        if final == [ ] then
          type.emptyValue.value
            or (throw "The option `${showOption loc}' was accessed but has no value defined. Try setting the option.")
        else if wrong != [ ] then
          throw "A definition for option `${showOption loc}' is not of type `${type.description}'. Definition values:${lib.showDefs wrong}"
        else
          type.merge loc final;
    };

  evalModules =
    evalArgs@{
      modules,
      specialArgs ? { },
      prefix ? [ ],
      class ? null,
    }:
    let
      arguments = {
        inherit lib config;
        inherit (joined) options;
      }
      // specialArgs;
      loaded = lib.reverseList (
        collect arguments (modules ++ [ { _file = "lib/modules.nix"; options = internal; config._module.args = { inherit extendModules; }; } ])
      );
      joined = join prefix (map (one: { inherit (one) file options; }) loaded) (
        concatMap (one: map (value: { inherit (one) file; inherit value; }) (lib.pushDownProperties one.config)) loaded
      );
      inherit (joined.config._module) check freeformType;
      config =
        if freeformType == null then
          joined.config
        else
          lib.recursiveUpdate
            (mergeDefinitions prefix freeformType (
              map (one: {
                inherit (one) file;
                value = lib.setAttrByPath one.path one.value;
              }) joined.strangers
              ++ [ { file = "lib/modules.nix"; value = { }; } ]
            )).value
            joined.config;
      stranger = head joined.strangers;
      checked =
        if check && freeformType == null && joined.strangers != [ ] then
          throw "The option `${showOption (prefix ++ stranger.path)}' does not exist. Definition values:${lib.showDefs [ stranger ]}"
        else
          true;
      extendModules =
        more:
        evalModules (
          evalArgs
          // {
            modules = modules ++ more.modules or [ ];
            specialArgs = specialArgs // more.specialArgs or { };
            prefix = more.prefix or prefix;
          }
        );
    in
    {
      _type = "configuration";
      inherit extendModules class;
      options = seq checked joined.options;
      config = seq checked (removeAttrs config [ "_module" ]);
      inherit (joined.config) _module;
      type = types.submoduleWith { inherit modules specialArgs; };
    };
in
{
  inherit evalModules mergeDefinitions;
}
