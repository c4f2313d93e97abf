# SPDX-License-Identifier: MIT
"""How mounts, images and directories travel over D-Bus (systemd.exec(5), org.freedesktop.systemd1(5))."""

from __future__ import annotations

from strata.errors import InvalidArgument
from strata.units.encode_exec import decode64
from strata.units.rows import Property, ReadAs
from strata.units.text import fields, padded, raw_words, words

_MS_REC = 1 << 14


def binds(value: str) -> list[tuple[str, str, bool, int]]:
    """source[:destination[:rbind|norbind]], a leading dash if it may be missing (BindPaths=)."""
    return [_bind(raw) for raw in raw_words(value)]


def _bind(raw: str) -> tuple[str, str, bool, int]:
    source, destination, option = padded(fields(raw), 3, raw)
    if option not in ("", "rbind", "norbind"):
        raise InvalidArgument(f"cannot read {raw!r}: {option} is neither rbind nor norbind")
    path = source.removeprefix("-")
    return path, destination or path, source.startswith("-"), 0 if option == "norbind" else _MS_REC


def file_systems(value: str) -> list[tuple[str, str]]:
    """path[:options] (TemporaryFileSystem=)."""
    return [(path, options) for path, _, options in (word.partition(":") for word in words(value, escapes=False))]


def image_options(value: str) -> list[tuple[str, str]]:
    """[partition:]options (RootImageOptions=)."""
    return [_option(fields(raw)) for raw in raw_words(value)]


def _option(found: list[str]) -> tuple[str, str]:
    return (found[0], ":".join(found[1:])) if len(found) > 1 else ("root", found[0])


def _options(found: list[str]) -> list[tuple[str, str]]:
    """Pairs of partition and options; a single one is the root partition's."""
    if len(found) == 1:
        return [("root", found[0])]
    if len(found) % 2:
        raise InvalidArgument("cannot read mount options: expected pairs of partition:options")
    return list(zip(found[::2], found[1::2], strict=True))


def mount_images(value: str) -> list[tuple[str, str, bool, list[tuple[str, str]]]]:
    """source:destination[:partition:options…] (MountImages=)."""
    return [_mount_image(raw, fields(raw)) for raw in raw_words(value)]


def _mount_image(raw: str, found: list[str]) -> tuple[str, str, bool, list[tuple[str, str]]]:
    if len(found) < 2 or not found[0] or not found[1]:
        raise InvalidArgument(f"cannot read {raw!r}: expected source:destination")
    return found[0].removeprefix("-"), found[1], found[0].startswith("-"), _options(found[2:])


def extension_images(value: str) -> list[tuple[str, bool, list[tuple[str, str]]]]:
    """source[:partition:options…] (ExtensionImages=)."""
    return [(f[0].removeprefix("-"), f[0].startswith("-"), _options(f[1:])) for f in map(fields, raw_words(value))]


def root_hash(value: str) -> tuple[Property, ...]:
    """RootHash=: hexadecimal, or a file that holds it."""
    if value.startswith("/"):
        return (Property("RootHashPath", "s", value),)
    try:
        raw = bytes.fromhex(value)
    except ValueError as error:
        raise InvalidArgument(f"cannot read {value!r}: expected a path or hexadecimal digits") from error
    if len(raw) < 16:
        raise InvalidArgument(f"cannot read {value!r}: a root hash has at least 16 bytes")
    return (Property("RootHash", "ay", raw),)


def root_hash_signature(value: str) -> tuple[Property, ...]:
    """RootHashSignature=: base64:…, or a file that holds it."""
    if value.startswith("/"):
        return (Property("RootHashSignaturePath", "s", value),)
    if not value.startswith("base64:"):
        raise InvalidArgument(f"cannot read {value!r}: expected a path or base64:…")
    return (Property("RootHashSignature", "ay", decode64(value.removeprefix("base64:"))),)


def directories(name: str) -> ReadAs:
    """StateDirectory= and its like: names, and name:symlink pairs which have a property of their own."""

    def read(value: str) -> tuple[Property, ...]:
        found = [padded(fields(raw), 2, raw) for raw in raw_words(value)]
        plain = [source for source, link in found if not link]
        linked = [(source, link, 0) for source, link in found if link]
        return (
            *((Property(name, "as", plain),) if plain else ()),
            *((Property(f"{name}Symlink", "a(sst)", linked),) if linked else ()),
        )

    return read
