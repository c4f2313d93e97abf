# SPDX-License-Identifier: MIT
# Attribute sets and lists.
lib:
let
  inherit (builtins)
    attrNames
    attrValues
    concatMap
    elem
    elemAt
    filter
    foldl'
    genList
    head
    isAttrs
    isList
    length
    listToAttrs
    mapAttrs
    tail
    ;
in
rec {
  inherit (builtins)
    all
    any
    attrNames
    attrValues
    catAttrs
    concatLists
    concatMap
    elem
    elemAt
    filter
    foldl'
    functionArgs
    genList
    getAttr
    hasAttr
    head
    intersectAttrs
    isAttrs
    isBool
    isFloat
    isFunction
    isInt
    isList
    isPath
    isString
    length
    listToAttrs
    mapAttrs
    pathExists
    readFile
    removeAttrs
    seq
    sort
    tail
    ;
  id = value: value;
  const = value: _: value;
  pipe = foldl' (value: f: f value);
  flip = f: a: b: f b a;

  nameValuePair = name: value: { inherit name value; };
  genAttrs = names: f: listToAttrs (map (name: nameValuePair name (f name)) names);
  mapAttrs' = f: set: listToAttrs (map (name: f name set.${name}) (attrNames set));
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  concatMapAttrs = f: set: foldl' (a: b: a // b) { } (attrValues (mapAttrs f set));
  mapAttrsRecursive =
    f:
    let
      under =
        path:
        mapAttrs (
          name: value: if isAttrs value then under (path ++ [ name ]) value else f (path ++ [ name ]) value
        );
    in
    under [ ];
  filterAttrs = keep: set: removeAttrs' set (filter (name: !keep name set.${name}) (attrNames set));
  removeAttrs' = builtins.removeAttrs;
  filterAttrsRecursive =
    keep: set:
    mapAttrs (_: value: if isAttrs value then filterAttrsRecursive keep value else value) (filterAttrs keep set);
  optionalAttrs = condition: set: if condition then set else { };
  attrByPath =
    path: default: set:
    if path == [ ] then
      set
    else if isAttrs set && set ? ${head path} then
      attrByPath (tail path) default set.${head path}
    else
      default;
  hasAttrByPath = path: set: attrByPath path lib set != lib;
  getAttrFromPath =
    path: attrByPath path (throw "cannot find attribute `${builtins.concatStringsSep "." path}'");
  setAttrByPath =
    path: value: if path == [ ] then value else { ${head path} = setAttrByPath (tail path) value; };
  recursiveUpdate =
    left: right:
    left
    // mapAttrs (
      name: value:
      if left ? ${name} && isAttrs left.${name} && isAttrs value then
        recursiveUpdate left.${name} value
      else
        value
    ) right;
  mergeAttrsList = foldl' (a: b: a // b) { };
  zipAttrsWith =
    f: sets:
    mapAttrs (name: _: f name (builtins.catAttrs name sets)) (mergeAttrsList sets);
  attrsToList = mapAttrsToList nameValuePair;
  isDerivation = value: value.type or null == "derivation";

  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  singleton = value: [ value ];
  toList = value: if isList value then value else [ value ];
  flatten = value: if isList value then concatMap flatten value else [ value ];
  last = list: elemAt list (length list - 1);
  init = list: genList (elemAt list) (length list - 1);
  take = count: list: genList (elemAt list) (if count < length list then count else length list);
  reverseList = list: genList (at: elemAt list (length list - at - 1)) (length list);
  range = first: end: if first > end then [ ] else genList (at: first + at) (end - first + 1);
  remove = gone: filter (value: value != gone);
  unique = foldl' (found: value: if elem value found then found else found ++ [ value ]) [ ];
  subtractLists = gone: filter (value: !elem value gone);
  intersectLists = wanted: filter (value: elem value wanted);
  imap0 = f: list: genList (at: f at (elemAt list at)) (length list);
  imap1 = f: list: genList (at: f (at + 1) (elemAt list at)) (length list);
  count = keep: list: length (filter keep list);
  sortOn = key: builtins.sort (a: b: key a < key b);

  importTOML = path: builtins.fromTOML (builtins.readFile path);
  importJSON = path: builtins.fromJSON (builtins.readFile path);
  warn = message: builtins.trace "evaluation warning: ${message}";
  warnIf = condition: message: if condition then warn message else id;
  throwIf = condition: message: if condition then throw message else id;
  throwIfNot = condition: throwIf (!condition);
  assertMsg = condition: message: condition || throw message;
  getExe =
    package:
    if package.meta ? mainProgram then
      getExe' package package.meta.mainProgram
    else
      throw "getExe: package ${package.name or "?"} has no meta.mainProgram";
  getExe' = package: program: "${package}/bin/${program}";
  getBin = package: package.bin or package;
  makeBinPath = packages: builtins.concatStringsSep ":" (map (one: "${one}/bin") packages);
  getLib = package: package.lib or package;
  getDev = package: package.dev or package;
  fileset = {
    # Only what was named is copied.
    toSource =
      { root, fileset }:
      let
        wanted = map toString (flatten fileset);
        within = path: one: path == one || lib.hasPrefix "${one}/" path || lib.hasPrefix "${path}/" one;
      in
      builtins.path {
        name = "source";
        path = root;
        filter = path: _: baseNameOf path != "__pycache__" && builtins.any (within path) wanted;
      };
    unions = map (
      path:
      if builtins.isPath path && !builtins.pathExists path then
        throw "lib.fileset.unions: Element 0 (${toString path}) is a path that does not exist."
      else
        path
    );
    maybeMissing = path: if builtins.pathExists path then path else [ ];
  };
  cleanSource = source: source;
  licenses = genAttrs [
    "mit"
    "asl20"
    "bsd3"
    "lgpl21Plus"
    "unlicense"
  ] (spdxId: { inherit spdxId; });
  maintainers = { };
  platforms.linux = [
    "x86_64-linux"
    "aarch64-linux"
  ];
}
