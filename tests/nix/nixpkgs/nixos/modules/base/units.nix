# SPDX-License-Identifier: MIT
# systemd's units, and their text as NixOS writes it.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  of = type: default: mkOption { inherit type default; };
  names = of (types.listOf (types.strMatching "[a-zA-Z0-9@%:_.\\-]+[.](service|socket|device|mount|automount|swap|target|path|timer|scope|slice)")) [ ];
  # NixOS takes anything for a directive, and joins lists.
  directive = lib.mkOptionType {
    name = "systemd option";
    merge =
      loc: defs:
      if lib.any (def: lib.isList def.value) defs then
        lib.concatMap (def: lib.toList def.value) defs
      else
        lib.mergeEqualOption loc defs;
  };
  section = of (types.attrsOf directive) { };
  oneOf =
    key: allowed: set:
    !(set ? ${key}) || lib.elem set.${key} allowed || builtins.trace "Systemd Service field `${key}' cannot have value `${toString set.${key}}'." false;
  checked = types.addCheck (types.attrsOf directive) (
    set:
    !lib.isAttrs set
    || (
      oneOf "Type" [ "exec" "simple" "forking" "oneshot" "dbus" "notify" "notify-reload" "idle" ] set
      && oneOf "Restart" [ "no" "on-success" "on-failure" "on-abnormal" "on-abort" "always" ] set
    )
  );
  dependencies = {
    requires = "Requires";
    wants = "Wants";
    upholds = "Upholds";
    after = "After";
    before = "Before";
    bindsTo = "BindsTo";
    partOf = "PartOf";
    conflicts = "Conflicts";
    requisite = "Requisite";
    onFailure = "OnFailure";
    onSuccess = "OnSuccess";
  };
  common = lib.mapAttrs (_: _: names) dependencies // {
    enable = of types.bool true;
    description = of types.singleLineStr "";
    documentation = of (types.listOf types.str) [ ];
    wantedBy = names;
    requiredBy = names;
    aliases = names;
    overrideStrategy = of (types.enum [ "asDropinIfExists" "asDropin" ]) "asDropinIfExists";
    unitConfig = section;
  };
  service = common // {
    environment = of (types.attrsOf (
      types.nullOr (
        types.oneOf [
          types.str
          types.path
          types.package
        ]
      )
    )) { };
    path = of (types.listOf (types.oneOf [ types.package types.str ])) [ ];
    serviceConfig = mkOption { type = checked; default = { }; };
    script = of types.lines "";
    preStart = of types.lines "";
    restartIfChanged = of types.bool true;
    reloadIfChanged = of types.bool false;
    stopIfChanged = of types.bool true;
    restartTriggers = of (types.listOf types.unspecified) [ ];
    reloadTriggers = of (types.listOf directive) [ ];
  };
  kinds = {
    services = service;
    sockets = common // {
      socketConfig = section;
      listenStreams = of (types.listOf types.str) [ ];
    };
    slices = common // { sliceConfig = section; };
    timers = common // { timerConfig = section; };
    targets = common;
    paths = common // { pathConfig = section; };
  };

  word =
    value:
    if value == true then
      "true"
    else if value == false then
      "false"
    else
      toString value;
  lines =
    set: lib.concatStrings (lib.concatLists (lib.mapAttrsToList (key: value: map (one: "${key}=${word one}\n") (lib.toList value)) set));
  trigger =
    kind: name: values:
    lib.optionalAttrs (values != [ ]) {
      "X-${kind}-Triggers" = "${pkgs.writeText "X-${kind}-Triggers-${name}" (toString (lib.flatten values))}";
    };
  unitSection =
    name: unit:
    "[Unit]\n"
    + lines (
      unit.unitConfig
      // lib.concatMapAttrs (
        option: directive: lib.optionalAttrs (unit.${option} != [ ]) { ${directive} = toString unit.${option}; }
      ) dependencies
      // trigger "Restart" name unit.restartTriggers or [ ]
      // trigger "Reload" name unit.reloadTriggers or [ ]
      // lib.optionalAttrs (unit.description != "") { Description = unit.description; }
      // lib.optionalAttrs (unit.documentation != [ ]) { Documentation = toString unit.documentation; }
    );
  install = unit: lib.optionalString (unit.wantedBy != [ ]) "\n[Install]\nWantedBy=${toString unit.wantedBy}\n";
  bodies = {
    services =
      unit:
      "\n[Service]\n"
      + lib.concatStrings (
        lib.mapAttrsToList (
          name: value: lib.optionalString (value != null) "Environment=${builtins.toJSON "${name}=${value}"}\n"
        ) (unit.environment // lib.optionalAttrs (unit.path != [ ]) { PATH = lib.makeBinPath unit.path; })
      )
      + lib.optionalString unit.reloadIfChanged "X-ReloadIfChanged=true\n"
      + lib.optionalString (!unit.restartIfChanged) "X-RestartIfChanged=false\n"
      + lib.optionalString (!unit.stopIfChanged) "X-StopIfChanged=false\n"
      + lines unit.serviceConfig;
    sockets = unit: "\n[Socket]\n${lines unit.socketConfig}${lib.concatMapStrings (one: "ListenStream=${one}\n") unit.listenStreams}";
    slices = unit: "\n[Slice]\n${lines unit.sliceConfig}\n";
    timers = unit: "\n[Timer]\n${lines unit.timerConfig}\n";
    paths = unit: "\n[Path]\n${lines unit.pathConfig}\n";
    targets = _: "";
  };
  units =
    kind:
    lib.mapAttrs' (
      name: unit:
      lib.nameValuePair "${name}.${lib.removeSuffix "s" kind}" {
        inherit (unit) enable wantedBy;
        text = unitSection name unit + bodies.${kind} unit + install unit;
      }
    ) config.systemd.${kind};
in
{
  options.systemd =
    lib.mapAttrs (_: options: of (types.attrsOf (types.submodule { inherit options; })) { }) kinds
    // {
      units = mkOption {
        type = types.attrsOf types.raw;
        readOnly = true;
        internal = true;
        default = lib.mergeAttrsList (map units (lib.attrNames kinds));
      };
      tmpfiles.rules = of (types.listOf types.str) [ ];
      tmpfiles.settings = of (types.attrsOf (types.attrsOf (types.attrsOf (types.submodule {
        options = lib.genAttrs [ "mode" "user" "group" "age" "argument" "type" ] (_: of types.str "-");
      })))) { };
      packages = of (types.listOf types.package) [ ];
      sysusers.enable = of types.bool false;
    };
}
