# SPDX-License-Identifier: MIT
# The parts of nixpkgs' lib that our files use, with its semantics.
let
  inherit (builtins)
    all
    attrNames
    attrValues
    concatLists
    concatMap
    concatStringsSep
    elem
    filter
    foldl'
    functionArgs
    hasAttr
    head
    intersectAttrs
    isAttrs
    isBool
    isFunction
    isInt
    isList
    isPath
    isString
    length
    listToAttrs
    mapAttrs
    match
    removeAttrs
    seq
    stringLength
    substring
    toJSON
    typeOf
    ;

  lib = rec {
    inherit
      all
      attrNames
      concatStringsSep
      elem
      filter
      ;
    nameValuePair = name: value: { inherit name value; };
    mapAttrs' = f: set: listToAttrs (map (name: f name set.${name}) (attrNames set));
    mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
    genAttrs = names: f: listToAttrs (map (name: nameValuePair name (f name)) names);
    optional = condition: value: if condition then [ value ] else [ ];
    hasPrefix = prefix: text: substring 0 (stringLength prefix) text == prefix;
    removePrefix =
      prefix: text: if hasPrefix prefix text then substring (stringLength prefix) (-1) text else text;
    isDerivation = value: isAttrs value && value.type or "" == "derivation";
    showOption = concatStringsSep ".";
    fileset = {
      toSource = { root, fileset }: builtins.deepSeq fileset root;
      unions = map (path: if builtins.pathExists path then path else throw "fileset: no ${toString path}");
    };

    mkOption = option: option // { _type = "option"; };
    mkEnableOption =
      what:
      mkOption {
        type = types.bool;
        default = false;
        description = "Whether to enable ${what}.";
      };
    mkIf = condition: content: {
      _type = "if";
      inherit condition content;
    };
    mkMerge = contents: {
      _type = "merge";
      inherit contents;
    };
    mkOverride = priority: content: {
      _type = "override";
      inherit priority content;
    };
    mkDefault = mkOverride 1000;
    mkForce = mkOverride 50;

    types =
      let
        plain = name: check: {
          inherit name check;
          merge =
            at: values:
            if length values == 1 || all (value: value == head values) values then head values else conflict at;
        };
        conflict = at: throw "The option `${showOption at}' has conflicting definition values";
        merged = type: at: value: mergeValues type at [ value ];
      in
      rec {
        bool = plain "boolean" isBool;
        int = plain "signed integer" isInt;
        str = plain "string" isString;
        strMatching = pattern: plain "string matching ${pattern}" (value: isString value && match pattern value != null);
        path = plain "absolute path" (value: isPath value || (isString value && hasPrefix "/" value) || isDerivation value);
        package = plain "package" isDerivation;
        raw = plain "raw value" (_: true);
        unitValue = plain "systemd unit option" (
          value:
          isBool value
          || isInt value
          || isString value
          || isPath value
          || isDerivation value
          || (isList value && all unitValue.check value)
        );
        lines = plain "lines" isString // {
          merge = _: concatStringsSep "\n";
        };
        nullOr = type: {
          name = "null or ${type.name}";
          check = value: value == null || type.check value;
          merge = at: values: if all (value: value == null) values then null else mergeValues type at values;
        };
        listOf = type: {
          name = "list of ${type.name}";
          check = isList;
          merge = at: values: map (merged type (at ++ [ "*" ])) (concatLists values);
        };
        attrsOf = type: {
          name = "attribute set of ${type.name}";
          check = value: isAttrs value && !isDerivation value;
          merge = at: values: mergeSets true (name: mergeAny type (at ++ [ name ])) values;
        };
        # Its names are known before its values, so that one may be made of another.
        lazyAttrsOf = type: attrsOf type // { merge = at: values: mergeSets false (name: mergeAny type (at ++ [ name ])) values; };
        submodule = module: {
          name = "submodule";
          check = value: isAttrs value || isFunction value;
          merge = at: values: (evalUnder at { modules = [ module ] ++ map (config: { inherit config; }) values; }).config;
        };
        # What pkgs.formats.toml takes: no null, no function.
        toml = {
          name = "TOML value";
          check =
            value:
            isBool value
            || isInt value
            || isString value
            || builtins.isFloat value
            || isDerivation value
            || (isList value && all toml.check value)
            || (isAttrs value && all toml.check (attrValues value));
          merge =
            at: values:
            if all (value: isAttrs value && !isDerivation value) values then
              mergeSets true (name: mergeAny toml (at ++ [ name ])) values
            else
              (plain "" (_: true)).merge at values;
        };
      };

    # --- the module system

    pushDown =
      value:
      if !isAttrs value || !(value ? _type) then
        [ value ]
      else if value._type == "if" then
        map (mapAttrs (_: mkIf value.condition)) (pushDown value.content)
      else if value._type == "merge" then
        concatMap pushDown value.contents
      else if value._type == "override" then
        map (mapAttrs (_: mkOverride value.priority)) (pushDown value.content)
      else
        [ value ];

    # Values with their priorities, once conditions are known.
    discharge =
      priority: value:
      if !isAttrs value || !(value ? _type) then
        [ { inherit priority value; } ]
      else if value._type == "if" then
        if value.condition then discharge priority value.content else [ ]
      else if value._type == "merge" then
        concatMap (discharge priority) value.contents
      else if value._type == "override" then
        discharge value.priority value.content
      else
        [ { inherit priority value; } ];

    strongest =
      definitions:
      let
        least = foldl' (most: one: if one.priority < most then one.priority else most) 10000 definitions;
      in
      map (one: one.value) (filter (one: one.priority == least) definitions);

    mergeValues =
      type: at: values:
      let
        wrong = filter (value: !type.check value) values;
      in
      if wrong != [ ] then
        throw "A definition for option `${showOption at}' is not of type `${type.name}' but ${typeOf (head wrong)}"
      else
        type.merge at values;
    mergeAny = type: at: definitions: mergeValues type at (strongest (concatMap (discharge 100) definitions));
    mergeSets =
      strict: mergeOne: sets:
      let
        definitions = concatMap pushDown sets;
        names = attrNames (foldl' (whole: one: whole // one) { } definitions);
        of = name: concatMap (one: if hasAttr name one then discharge 100 one.${name} else [ ]) definitions;
        present = if strict then filter (name: of name != [ ]) names else names;
      in
      genAttrs present (name: mergeOne name (map (one: mkOverride one.priority one.value) (of name)));

    evalModules = evalUnder [ ];
    evalUnder =
      under:
      {
        modules,
        specialArgs ? { },
      }:
      let
        arguments = specialArgs // {
          inherit lib config options;
        };
        load =
          module:
          let
            source = if isPath module || isString module then import module else module;
            needs = functionArgs source;
            missing = filter (name: !needs.${name} && !hasAttr name arguments) (attrNames needs);
            body =
              if !isFunction source then
                source
              else if missing != [ ] then
                throw "a module asks for `${head missing}', which is not given"
              else
                source (if needs == { } then arguments else intersectAttrs needs arguments // arguments);
            structured = body ? config || body ? options;
            odd = filter (name: !elem name [ "imports" "options" "config" "_file" ]) (attrNames body);
          in
          if structured && odd != [ ] then
            throw "Module has an unsupported attribute `${head odd}'"
          else
            concatMap load (body.imports or [ ])
            ++ [
              {
                options = body.options or { };
                config = if structured then body.config or { } else removeAttrs body [ "imports" "_file" ];
              }
            ];
        loaded = concatMap load modules;
        options = foldl' (join [ ]) { } (map (module: module.options) loaded);
        join =
          at: left: right:
          left
          // mapAttrs (
            name: option:
            if !hasAttr name left then
              option
            else if option._type or "" == "option" || left.${name}._type or "" == "option" then
              throw "The option `${showOption (at ++ [ name ])}' is already declared"
            else
              join (at ++ [ name ]) left.${name} option
          ) right;
        configs = concatMap (module: pushDown module.config) loaded;
        values = at: tree: definitions: mapAttrs (name: valueOf (at ++ [ name ]) definitions name) tree;
        valueOf =
          at: definitions: name: option:
          let
            given = concatMap (one: if hasAttr name one then [ one.${name} ] else [ ]) definitions;
          in
          if option._type or "" != "option" then
            values at option (concatMap pushDown given)
          else
            let
              active = concatMap (discharge 100) given;
            in
            if active != [ ] then
              mergeValues option.type at (strongest active)
            else
              option.default or (throw "The option `${showOption at}' was accessed but has no value defined");
        unknown =
          at: tree: definitions:
          concatMap (
            one:
            concatMap (
              name:
              if !hasAttr name tree then
                [ (showOption (at ++ [ name ])) ]
              else if tree.${name}._type or "" == "option" then
                [ ]
              else
                unknown (at ++ [ name ]) tree.${name} (pushDown one.${name})
            ) (attrNames one)
          ) definitions;
        config = values under options configs;
        strangers = unknown under options configs;
        checked =
          if strangers != [ ] then throw "The option `${head strangers}' does not exist" else true;
      in
      {
        inherit options;
        config = seq checked config;
      };
  };
in
lib
