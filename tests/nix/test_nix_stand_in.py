# SPDX-License-Identifier: MIT
"""The stand-in for nixpkgs is as strict as the real one. Where NIXPKGS names a tree, the same is "
"asked of that one."""

from __future__ import annotations

import functools
import json
import re
import tomllib
from typing import Any

import pytest
from evaluation import Nix, Refused

# Options and definitions of a module set, and what comes out or what is said.
EVALUATE = """let inherit (lib) mkOption types mkIf mkMerge mkForce mkDefault mkOverride mkOrder mkBefore mkAfter; in
  (lib.evalModules { modules = [ %s ]; }).config"""
ONE = "{ options.a = mkOption { type = types.%s; }; }"

VALUES = {
    "equal definitions are one": (ONE % "int" + " { a = 1; } { a = 1; }", {"a": 1}),
    "force wins over plain, plain over default": (
        ONE % "int" + " { a = mkDefault 1; } { a = 2; } { a = mkForce 3; }",
        {"a": 3},
    ),
    "default loses against a definition": (
        "{ options.a = mkOption { type = types.int; default = 5; }; } { a = mkDefault 1; }",
        {"a": 1},
    ),
    "priorities are numbers": (ONE % "int" + " { a = mkOverride 10 1; } { a = mkOverride 9 2; }", {"a": 2}),
    "false conditions define nothing": (
        ONE % "listOf types.int" + " { a = mkIf false [ 1 ]; } { a = [ 2 ]; }",
        {"a": [2]},
    ),
    "lists are joined in order": (
        ONE % "listOf types.int" + " { a = mkAfter [ 3 ]; } { a = [ 2 ]; } { a = mkBefore [ 1 ]; }",
        {"a": [1, 2, 3]},
    ),
    "of equal order, the last module comes first": (
        ONE % "listOf types.int" + " { a = [ 1 ]; } { a = [ 2 ]; } { a = mkOrder 1000 [ 3 ]; }",
        {"a": [3, 2, 1]},
    ),
    "sets are joined by name": (
        ONE % "attrsOf types.int" + " { a.x = 1; } { a.y = mkIf true 2; } { a.z = mkIf false 3; }",
        {"a": {"x": 1, "y": 2}},
    ),
    "lines are joined": (ONE % "lines" + ' { a = "x"; } { a = "y"; }', {"a": "y\nx"}),
    "one of two types": (ONE % "either types.int types.str" + ' { a = "x"; }', {"a": "x"}),
    "null or a value": (ONE % "nullOr types.int" + " { a = null; }", {"a": None}),
    "coerced": (ONE % "coercedTo types.int toString types.str" + " { a = 3; }", {"a": "3"}),
    "a submodule knows its name": (
        "{ options.a = mkOption { type = types.attrsOf (types.submodule ("
        "{ name, ... }: { options.n = mkOption { type = types.str; default = name; }; })); }; } { a.x = { }; }",
        {"a": {"x": {"n": "x"}}},
    ),
    "a freeform submodule takes more": (
        "{ options.a = mkOption { type = types.submodule { freeformType = types.attrsOf types.int; "
        'options.n = mkOption { type = types.str; default = "d"; }; }; }; } { a.x = 1; }',
        {"a": {"n": "d", "x": 1}},
    ),
    "an undefined submodule is its defaults": (
        "{ options.a = mkOption { type = types.submodule { options.n = mkOption { type = types.int; "
        "default = 1; }; }; default = { }; }; }",
        {"a": {"n": 1}},
    ),
    "merges and conditions around sets": (
        ONE % "attrsOf types.int"
        + " (mkIf true { a.x = 1; }) { config = mkMerge [ { a.y = 2; } (mkIf false { a.z = 3; }) ]; }",
        {"a": {"x": 1, "y": 2}},
    ),
    "a file is imported once": (
        '{ imports = [ ({ ... }: { key = "k"; options.a = mkOption { default = 1; }; }) ]; }',
        {"a": 1},
    ),
    "renamed options reach the new name": (
        '{ imports = [ (lib.mkRenamedOptionModule [ "old" ] [ "new" ]) ]; options.new = mkOption { '
        "type = types.int; }; options.warnings = mkOption { type = types.listOf types.str; default = "
        "[ ]; apply = builtins.length; }; } { config.old = 4; }",
        {"new": 4, "old": 4, "warnings": 1},
    ),
}
ERRORS = {
    "unknown option": (ONE % "int" + " { a = 1; b = 2; }", r"The option `b' does not exist"),
    "unknown option below": (
        "{ options.a.b = mkOption { default = 1; }; } { a.c = 1; }",
        r"The option `a\.c' does not exist",
    ),
    "unknown option of a submodule": (ONE % "submodule { }" + " { a.b = 1; }", r"The option `a\.b' does not exist"),
    "missing value": (ONE % "int", r"The option `a' was accessed but has no value defined"),
    "conflict": (ONE % "str" + ' { a = "x"; } { a = "y"; }', r"`a' has conflicting definition values"),
    "two packages": (
        ONE % "package" + ' { a = builtins.derivation { name = "x"; system = "s"; builder = "b"; }; } { a = '
        'builtins.derivation { name = "y"; system = "s"; builder = "b"; }; }',
        r"`a' (is defined multiple times while it's expected to be unique|has conflicting)",
    ),
    "read-only": (
        "{ options.a = mkOption { type = types.int; readOnly = true; }; } { a = 1; } { a = 1; }",
        r"`a' is read-only, but it's set multiple times",
    ),
    "declared twice": (
        ONE % "int" + " { options.a = mkOption { type = types.str; }; } { a = 1; }",
        r"The option `a' in `[^']*' is already declared",
    ),
    "value for a set of options": (
        "{ options.a.b = mkOption { default = 1; }; } { a = 1; }",
        r"you're trying to define a value of type `int' rather than an attribute set",
    ),
    "condition that is none": (ONE % "int" + ' { a = mkIf "x" 1; }', r"non-Boolean condition"),
    "structure and options mixed": (ONE % "int" + " { config.a = 1; b = 2; }", r"has an unsupported attribute `b'"),
    "argument that nobody gives": (ONE % "int" + " ({ nobody, ... }: { a = nobody; })", r"attribute 'nobody' missing"),
    "what is no module": ("3", r"does not look like a module|cannot coerce an integer"),
    "removed option": (
        '{ imports = [ (lib.mkRemovedOptionModule [ "old" ] "Say new.") ]; options.assertions = '
        "mkOption { type = types.listOf types.unspecified; apply = map (one: one.assertion || throw "
        "one.message); }; } { old = 1; }",
        r"(no longer (has any effect|be used)).*Say new",
    ),
    "bool and int": (ONE % "bool" + " { a = 1; }", r"`a' is not of type `boolean'"),
    "int and text": (ONE % "int" + ' { a = "1"; }', r"`a' is not of type `signed integer'"),
    "int between": (ONE % "ints.between 1 3" + " { a = 4; }", r"integer between 1 and 3 \(both inclusive\)"),
    "positive": (ONE % "ints.positive" + " { a = 0; }", r"positive integer, meaning >0"),
    "unsigned": (ONE % "ints.unsigned" + " { a = -1; }", r"unsigned integer, meaning >=0"),
    "port": (ONE % "port" + " { a = 65536; }", r"16 bit unsigned integer; between 0 and 65535 \(both inclusive\)"),
    "enum": (ONE % 'enum [ "x" "y" ]' + ' { a = "z"; }', r"one of \"x\", \"y\""),
    "relative path": (ONE % "path" + ' { a = "x"; }', r"`a' is not of type `absolute path'"),
    "package": (ONE % "package" + ' { a = "x"; }', r"`a' is not of type `package'"),
    "pattern": (ONE % 'strMatching "x+"' + ' { a = "y"; }', r"string matching the pattern x\+"),
    "several lines": (ONE % "singleLineStr" + ' { a = "x\\ny"; }', r"single-line string"),
    "empty text": (ONE % "nonEmptyStr" + ' { a = " "; }', r"non-empty string"),
    "null": (ONE % "int" + " { a = null; }", r"is not of type `signed integer'"),
    "null and a value": (
        ONE % "nullOr types.int" + " { a = null; } { a = 1; }",
        r"`a` is defined both null and not null",
    ),
    "item of a list": (
        ONE % "listOf types.int" + ' { a = [ "x" ]; }',
        r"entry 1\]?\"?' is not of type `signed integer'",
    ),
    "no list": (ONE % "listOf types.int" + " { a = 1; }", r"is not of type `list of signed integer'"),
    "empty list": (
        ONE % "nonEmptyListOf types.int" + " { a = [ ]; }",
        r"is not of type `non-empty \(?list of signed integer\)?'",
    ),
    "value of a set": (ONE % "attrsOf types.int" + ' { a.b = "x"; }', r"`a\.b' is not of type `signed integer'"),
    "neither type": (
        ONE % "either types.int types.str" + " { a = [ ]; }",
        r"is not of type `signed integer or string'",
    ),
    "added check": (ONE % "addCheck types.int (x: x > 5)" + " { a = 3; }", r"`a' is not of type"),
    "TOML without null": (
        "{ options.a = mkOption { inherit (pkgs.formats.toml { }) type; }; } { a.b = null; }",
        r"is not of type `TOML value'",
    ),
    "TOML without functions": (
        "{ options.a = mkOption { inherit (pkgs.formats.toml { }) type; }; } { a.b = x: x; }",
        r"is not of type `TOML value'",
    ),
}
# Of lib and pkgs: what comes out, or what is said.
FUNCTIONS = {
    'lib.concatMapStringsSep "," toString [ 1 2 ]': "1,2",
    "lib.filterAttrsRecursive (_: v: v != null) { a = null; b.c = null; b.d = 1; }": {"b": {"d": 1}},
    'lib.mapAttrs\' (n: v: lib.nameValuePair (n + "x") v) { a = 1; }': {"ax": 1},
    'lib.hasPrefix "a" "ab"': True,
    'lib.removeSuffix ".nix" "a.nix"': "a",
    'lib.hasInfix "b" "abc"': True,
    'lib.escapeShellArg "it\'s"': "'it'\\''s'",
    "lib.optionals false [ 1 ]": [],
    'lib.splitString "." "a.b"': ["a", "b"],
    'lib.makeBinPath [ "/a" "/b" ]': "/a/bin:/b/bin",
    "lib.recursiveUpdate { a.b = 1; } { a.c = 2; }": {"a": {"b": 1, "c": 2}},
    "lib.unique [ 1 1 2 ]": [1, 2],
    'lib.showOption [ "a" "b c" ]': 'a."b c"',
    'lib.versionAtLeast "1.10" "1.9"': True,
    'lib.getExe { type = "derivation"; outPath = "/x"; meta.mainProgram = "hello"; }': "/x/bin/hello",
    'lib.mkEnableOption "x" ? default': True,
    '(lib.mkPackageOption pkgs "hello" { }).default == pkgs.hello': True,
}
REFUSED = {
    "pkgs.nosuchpackage": "attribute 'nosuchpackage' missing",
    "pkgs.python3.pkgs.nosuchlibrary": "attribute 'nosuchlibrary' missing",
    "pkgs.python313.pkgs.systemd.name": "systemd was removed because it was misnamed",
    '(lib.mkPackageOption pkgs "nosuchpackage" { }).default': "nosuchpackage",
    "(pkgs.python3.pkgs.callPackage ({ nosuchlibrary }: nosuchlibrary) { }).name": "nosuchlibrary",
    "lib.fileset.toSource { root = ./.; fileset = lib.fileset.unions [ ./nosuchfile ]; }": "nosuchfile",
}


@functools.cache
def looked_up(nix: Nix) -> dict[str, Any]:
    """All values at once: starting Nix takes longer than evaluating them."""
    wanted = [*(EVALUATE % modules for modules, _ in VALUES.values()), *FUNCTIONS]
    found = nix.value("[ " + " ".join(f"({one})" for one in wanted) + " ]")
    return dict(zip([*VALUES, *FUNCTIONS], found, strict=True))


@pytest.mark.parametrize("name", list(VALUES))
def test_modules_evaluate_as_in_nixpkgs(either: Nix, name: str) -> None:
    assert looked_up(either)[name] == VALUES[name][1]


@pytest.mark.parametrize("name", list(ERRORS))
def test_modules_are_refused_as_in_nixpkgs(either: Nix, name: str) -> None:
    modules, said = ERRORS[name]
    with pytest.raises(Refused) as caught:
        either.value(EVALUATE % modules)
    assert re.search(said, re.sub(r"\s+", " ", str(caught.value)))


@pytest.mark.parametrize("expression", list(FUNCTIONS))
def test_functions_of_lib_give_what_those_of_nixpkgs_give(either: Nix, expression: str) -> None:
    assert looked_up(either)[expression] == FUNCTIONS[expression]


@pytest.mark.parametrize("expression", list(REFUSED))
def test_what_nixpkgs_lacks_is_lacking(either: Nix, expression: str) -> None:
    with pytest.raises(Refused, match=REFUSED[expression]):
        either.value(expression)


def test_the_toml_that_is_built_is_what_was_given(nix: Nix) -> None:
    given = {"a": 'quote " and \\ and\nline', "b": {"c.d": [1, True, 2.5], "e": {"f": "ü"}}, "g": [{"h": "i"}]}
    text = json.dumps(given).replace("${", "\\${")
    built = nix.build(f'(pkgs.formats.toml {{ }}).generate "x.toml" (builtins.fromJSON {json.dumps(text)})')
    assert tomllib.loads(built.read_text()) == given
