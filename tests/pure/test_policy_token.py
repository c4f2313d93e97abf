# SPDX-License-Identifier: MIT
"""Tokens: whose are believed, and that nothing else is. pyseto, another implementation, is the yardstick."""

from __future__ import annotations

import base64
import json
import struct

import pyseto
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from strata.errors import InvalidArgument, Unauthenticated
from strata.policy.capability import SECOND, Claims, Constraints, decode, encode, time_of, time_text
from strata.policy.token import FORMATS, LONGEST, V2, V4, PublicKey, pre_auth, public_key, verify

# Made by a run of the reference implementation (spec 1.8).
KNOWN_KEY = "n+n2BLayhKr9VHU8YDnZsKt1S91xnN+Ux3Fy/VrVQkg="
KNOWN_TOKEN = (
    "v2.public.eyJqdGkiOiJhM2JlNTUyNGFlZjVlY2IwZGE0YjFlYmQyZGIzNTIxNCIsInN1YiI6ImNhcGFiaWxpdHkiLCJpYXQiOiIyMDI2LTExL"
    "TIxVDIyOjMwOjEwLjQxOTk2MzMyNVoiLCJleHAiOiIyMDI2LTExLTIxVDIzOjMwOjEwLjQxOTk2MzMyNVoiLCJzZXJ2aWNlIjoiZnMiLCJhY3Rp"
    "b25zIjpbIm9wZW4iLCJyZWFkIiwibGlzdCJdLCJjb25zdHJhaW50cyI6eyJwYXRoX3ByZWZpeCI6Ii90bXAifX3x5Xq5DNf6XC77zOq19lAbhjxk"
    "A1piMdvyBazFp9TCX5-cWN20mmE1Gy1lh3dVrMN0gV02xYz_EmN9_kAJ8usL"
)
SEED = bytes(range(32))
SIGNERS = {version: pyseto.Key.from_asymmetric_key_params(int(version[1]), d=SEED) for version in FORMATS}
KEYS = {version: PublicKey(version, bytes(SigningKey(SEED).verify_key)) for version in FORMATS}
CLAIMS = Claims(
    "a" * 32, 1_700_000_000 * SECOND, 1_700_003_600 * SECOND, "fs", ("open",), iss="identity@n", aud="strata"
)


def sign(message: bytes, version: str = V2, footer: bytes = b"") -> str:
    return pyseto.encode(SIGNERS[version], message, footer).decode()


def refused(token: str, *keys: PublicKey) -> str:
    with pytest.raises(Unauthenticated, match=r"^invalid token: ") as caught:
        verify(token, keys or KEYS.values())
    return caught.value.message.removeprefix("invalid token: ")


def test_030_the_known_token_of_the_reference_verifies() -> None:
    claims = verify(KNOWN_TOKEN, [public_key(V2, KNOWN_KEY)])
    assert claims.jti == "a3be5524aef5ecb0da4b1ebd2db35214"
    assert claims.actions == ("open", "read", "list")
    assert claims.constraints == Constraints(path_prefix="/tmp")
    assert claims.exp - claims.iat == 3600 * SECOND
    assert claims.exp // SECOND == 1795303810


def test_030_flipping_any_byte_of_the_known_token_is_refused() -> None:
    key = public_key(V2, KNOWN_KEY)
    for place, letter in enumerate(KNOWN_TOKEN):
        other = "A" if letter != "A" else "B"
        refused(KNOWN_TOKEN[:place] + other + KNOWN_TOKEN[place + 1 :], key)


def test_the_reference_writes_its_claims_as_we_do() -> None:
    message = base64.urlsafe_b64decode(KNOWN_TOKEN.split(".")[2] + "==")[:-64]
    assert encode(decode(message)) == message


@pytest.mark.parametrize("version", FORMATS)
@given(message=st.binary(min_size=1, max_size=200))
def test_what_pyseto_signs_we_believe_whatever_the_message(version: str, message: bytes) -> None:
    assert "signature" not in refused_or_fine(sign(message, version))


def refused_or_fine(token: str) -> str:
    try:
        verify(token, KEYS.values())
    except Unauthenticated as error:
        return error.message
    return ""


@pytest.mark.parametrize("version", FORMATS)
def test_both_versions_carry_the_same_claims(version: str) -> None:
    assert verify(sign(encode(CLAIMS), version), KEYS.values()) == CLAIMS


def test_a_key_of_one_version_never_verifies_the_other() -> None:
    assert refused(sign(encode(CLAIMS), V4), KEYS[V2]) == "invalid signature"
    assert refused(sign(encode(CLAIMS), V2), KEYS[V4]) == "invalid signature"
    assert refused(sign(encode(CLAIMS), V4).replace("v4", "v2", 1)) == "invalid signature"


def test_any_of_several_keys_verifies() -> None:
    stranger = PublicKey(V2, bytes(SigningKey(bytes(32)).verify_key))
    assert verify(sign(encode(CLAIMS)), [stranger, KEYS[V2]]) == CLAIMS
    assert refused(sign(encode(CLAIMS)), stranger) == "invalid signature"


@given(st.data())
def test_any_mutation_of_a_token_is_refused_and_nothing_else_is_raised(data: st.DataObject) -> None:
    token = sign(encode(CLAIMS))
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    mutated = token[:start] + data.draw(st.text(max_size=8)) + token[end:]
    if mutated != token:
        refused(mutated)


@given(st.text(max_size=400) | st.text(max_size=400).map(lambda text: "v2.public." + text))
def test_any_text_is_refused_without_a_crash(text: str) -> None:
    refused(text)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("zz", "invalid token header"),
        ("", "invalid token header"),
        ("v1.public.x", "invalid token header"),
        ("v2.local.AAAA", "invalid token header"),
        ("V2.public.AAAA", "invalid token header"),
        ("v2.publicAAAA", "invalid token header"),
        ("v2.public.!!!", "decode token: not base64url without padding"),
        ("v2.public.AAAAA", "decode token: not base64url without padding"),
        ("v2.public.AA\nAA", "decode token: not base64url without padding"),
        ("v2.public.\ud800AAA", "decode token: not base64url without padding"),
        ("v2.public.AB", "decode token: trailing bits are not zero"),
        ("v2.public.AAAA", "token too short"),
        ("v2.public.", "token too short"),
        ("v2.public." + "A" * LONGEST, f"longer than {LONGEST} characters"),
    ],
)
def test_043_a_malformed_token_is_refused_in_the_order_of_the_reference(token: str, reason: str) -> None:
    assert refused(token) == reason


@pytest.mark.parametrize("tail", ["=", "==", ".Zm9v", ".", "\n", "\r\n", " "])
def test_044_padding_a_footer_or_a_line_break_is_refused(tail: str) -> None:
    refused(sign(encode(CLAIMS)) + tail)


def test_044_a_signed_footer_is_refused() -> None:
    refused(sign(encode(CLAIMS), footer=b"foo"))


def changed(**fields: object) -> bytes:
    return json.dumps(json.loads(encode(CLAIMS)) | fields).encode()


@pytest.mark.parametrize(
    "message",
    [
        b"[]",
        b"null",
        b"{}",
        b'"x"',
        b"\xff",
        b"[" * 5000,
        encode(CLAIMS) + b"x",
        encode(CLAIMS)[:-1] + b',"exp":"2999-01-01T00:00:00Z"}',
        changed(constraints={"path_prefix": "/a"}).replace(b'"/a"', b'"/a","path_prefix":"/"'),
        changed(constraints={"only_on_sundays": True}),
        changed(constraints=None),
        changed(sub="session"),
        changed(jti=""),
        changed(jti="a" * 129),
        changed(jti=5),
        changed(service=""),
        changed(actions="open"),
        changed(actions=[7]),
        changed(exp=1_700_003_600),
        changed(exp="2026-11-21"),
        changed(exp="2026-11-21t22:30:10z"),
        changed(exp="2026-13-21T22:30:10Z"),
        changed(exp="2026-11-21T22:30:10.0123456789Z"),
        changed(exp="2026-11-21T22:30:10"),
        changed(exp="٢٠٢٦-11-21T22:30:10Z"),
        changed(aud=["strata"]),
        changed(parents=["x"] * 17),
    ],
)
def test_signed_claims_that_are_not_well_formed_are_refused(message: bytes) -> None:
    assert refused(sign(message)).startswith("cannot read the ")


def test_unknown_top_level_claims_are_ignored() -> None:
    assert verify(sign(changed(future="x")), KEYS.values()) == CLAIMS


@given(st.integers(-62_000_000_000 * SECOND, 253_402_300_799 * SECOND))
def test_times_are_kept_to_the_nanosecond(moment: int) -> None:
    assert time_of(time_text(moment)) == moment


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-21T22:30:10.419963325Z", 1795300210_419963325),
        ("2026-11-21T23:30:10.419963325+01:00", 1795300210_419963325),
        ("2026-11-21T17:00:10.5-05:30", 1795300210_500000000),
        ("1969-12-31T23:59:59.5Z", -500_000_000),
    ],
)
def test_times_may_have_any_offset_and_up_to_nine_digits(text: str, moment: int) -> None:
    assert time_of(text) == moment


WORDS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), max_size=5).map(tuple)


@given(
    actions=WORDS,
    rights=WORDS,
    prefix=st.sampled_from(["", "/", "/tmp", "/a b/ü"]),
    parents=WORDS,
    iat=st.integers(0, 2**62),
    owner=st.sampled_from(["", "alice"]),
)
def test_claims_survive_the_journey_through_a_token(
    actions: tuple[str, ...], rights: tuple[str, ...], prefix: str, parents: tuple[str, ...], iat: int, owner: str
) -> None:
    claims = Claims("j", iat, iat + 1, "s", actions, rights, Constraints(prefix), parents=parents, owner=owner)
    assert verify(sign(encode(claims)), KEYS.values()) == claims


@pytest.mark.parametrize(("rights", "named"), [((), []), (("fs.open",), ["rights"])])
def test_025_fields_stand_in_the_order_of_the_reference(rights: tuple[str, ...], named: list[str]) -> None:
    said = json.loads(encode(Claims("j", 0, 0, "fs", ("open",), rights)))
    assert list(said) == ["jti", "sub", "iat", "exp", "service", "actions", *named, "constraints"]
    assert said["constraints"] == {}


def test_026_actions_are_null_when_only_rights_are_given() -> None:
    assert json.loads(encode(Claims("j", 0, 0, "fs", (), ("fs.open",))))["actions"] is None


@pytest.mark.parametrize("encoded", ["", "!", "AAAA", KNOWN_KEY[:-1], KNOWN_KEY + "AAAA"])
def test_a_public_key_must_be_32_bytes_in_base64(encoded: str) -> None:
    with pytest.raises(InvalidArgument, match="public key"):
        public_key(V2, encoded)


def test_key_ids_follow_paserk() -> None:
    for version in FORMATS:
        assert KEYS[version].id == SIGNERS[version].to_peer_paserk_id()


def test_v4_signs_one_more_empty_piece_than_v2() -> None:
    assert struct.unpack_from("<Q", pre_auth(V2, b"m"))[0] == 3
    assert struct.unpack_from("<Q", pre_auth(V4, b"m"))[0] == 4
