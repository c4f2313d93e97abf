# SPDX-License-Identifier: MIT
# What a definition may be wrapped in: conditions, merges, priorities, order; and modules for options that moved.
lib:
let
  inherit (builtins)
    concatMap
    filter
    foldl'
    isAttrs
    isBool
    mapAttrs
    ;
  kind = value: if isAttrs value then value._type or "" else "";
in
rec {
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
  mkOptionDefault = mkOverride 1500;
  mkDefault = mkOverride 1000;
  mkImageMediaOverride = mkOverride 60;
  mkForce = mkOverride 50;
  mkVMOverride = mkOverride 10;
  defaultOverridePriority = 100;
  mkOrder = priority: content: {
    _type = "order";
    inherit priority content;
  };
  mkBefore = mkOrder 500;
  mkAfter = mkOrder 1500;
  mkAssert =
    condition: message: content:
    mkIf (if condition then true else throw "\nFailed assertion: ${message}") content;

  # Wrappers around a set become wrappers around its values, so that its names can be known first.
  pushDownProperties =
    value:
    if kind value == "merge" then
      concatMap pushDownProperties value.contents
    else if kind value == "if" then
      map (mapAttrs (_: mkIf value.condition)) (pushDownProperties value.content)
    else if kind value == "override" then
      map (mapAttrs (_: mkOverride value.priority)) (pushDownProperties value.content)
    else
      [ value ];

  dischargeProperties =
    value:
    if kind value == "merge" then
      concatMap dischargeProperties value.contents
    else if kind value == "if" then
      if !isBool value.condition then
        throw "‘mkIf’ called with a non-Boolean condition"
      else if value.condition then
        dischargeProperties value.content
      else
        [ ]
    else
      [ value ];

  # Of definitions ({ file, value }), those of the strongest priority.
  strongest =
    defs:
    let
      priority = def: if kind def.value == "override" then def.value.priority else defaultOverridePriority;
      highestPrio = foldl' (least: def: if priority def < least then priority def else least) 9999 defs;
      strip = def: if kind def.value == "override" then def // { value = def.value.content; } else def;
    in
    {
      inherit highestPrio;
      values = concatMap (def: lib.optional (priority def == highestPrio) (strip def)) defs;
    };

  inOrder =
    defs:
    let
      ordered =
        def:
        if kind def.value == "order" then
          def
          // {
            value = def.value.content;
            inherit (def.value) priority;
          }
        else
          def;
      compare = a: b: (a.priority or 1000) < (b.priority or 1000);
    in
    if filter (def: kind def.value == "order") defs == [ ] then
      defs
    else
      builtins.sort compare (map ordered defs);

  mkRemovedOptionModule =
    path: instead:
    { options, ... }:
    {
      options = lib.setAttrByPath path (
        lib.mkOption {
          visible = false;
          apply =
            _:
            throw "The option `${lib.showOption path}' can no longer be used since it's been removed. ${instead}";
        }
      );
      config.assertions =
        let
          option = lib.getAttrFromPath path options;
        in
        [
          {
            assertion = !option.isDefined;
            message = "The option definition `${lib.showOption path}' in ${lib.showFiles option.files} no longer has any effect; please remove it.\n${instead}";
          }
        ];
    };
  mkRenamedOptionModule = from: to: moved from to true;
  mkAliasOptionModule = from: to: moved from to false;
  moved =
    from: to: tell:
    { config, options, ... }:
    let
      option = lib.getAttrFromPath from options;
      target = lib.attrByPath to { } options;
      value =
        if tell then
          builtins.trace "Obsolete option `${lib.showOption from}' is used. It was renamed to `${lib.showOption to}'." (
            lib.getAttrFromPath to config
          )
        else
          lib.getAttrFromPath to config;
    in
    {
      options = lib.setAttrByPath from (
        lib.mkOption {
          visible = false;
          description = "Alias of {option}`${lib.showOption to}`.";
          apply = _: value;
        }
        // lib.optionalAttrs (target ? type) { inherit (target) type; }
      );
      config = mkMerge [
        (lib.optionalAttrs (tell && options ? warnings) {
          warnings =
            lib.optional option.isDefined
              "The option `${lib.showOption from}' defined in ${lib.showFiles option.files} has been renamed to `${lib.showOption to}'.";
        })
        (mkIf option.isDefined (
          lib.setAttrByPath to (
            mkMerge (map (mkOverride option.highestPrio) option.definitions)
          )
        ))
      ];
    };
  mkChangedOptionModule =
    from: to: change:
    { config, options, ... }:
    {
      options = lib.setAttrByPath from (lib.mkOption { visible = false; });
      config = mkIf (lib.getAttrFromPath from options).isDefined (
        lib.setAttrByPath to (change config)
      );
    };
}
