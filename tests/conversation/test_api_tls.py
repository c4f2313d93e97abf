# SPDX-License-Identifier: MIT
"""TLS in the door: all that the plain port speaks, for those who trust the certificate, within the same bounds."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from authority import DAY, Authority, written
from cryptography.hazmat.primitives.asymmetric import ec
from rooms import DEADLINE
from rpc_door import LIMITS, Opened, Settings, opened
from test_api_grpc import Client as GrpcClient

from strata.api import tls
from strata.client.websocket import BINARY, TEXT, Decoder, encode, upgrade
from strata.errors import InvalidArgument

SETTINGS = Settings(tls_certificate="/etc/ssl/web.pem", tls_key="/etc/ssl/web.key")
GOOD = {"Authorization": "Bearer good"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def handed_over(directory: Path, certificate: Path, key: Path) -> Path:
    """As systemd does (LoadCredential=)."""
    directory.mkdir()
    shutil.copy(certificate, directory / tls.CERTIFICATE)
    shutil.copy(key, directory / tls.KEY)
    return directory


@pytest.fixture(scope="module")
def credentials(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return handed_over(tmp_path_factory.mktemp("tls") / "credentials", *authority.issue())


@pytest.fixture
def door(credentials: Path) -> Iterator[Opened]:
    with opened(SETTINGS, credentials=credentials) as found:
        yield found


def trusting(authority: Authority, *alpn: str) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=authority.ca)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    return made


@contextlib.contextmanager
def connected(door: Opened, made: ssl.SSLContext, name: str = "127.0.0.1") -> Iterator[ssl.SSLSocket]:
    with (
        socket.create_connection(("127.0.0.1", door.port), DEADLINE) as plain,
        made.wrap_socket(plain, server_hostname=name) as sock,
    ):
        yield sock


# --- the protocols


@pytest.mark.parametrize("both", [False, True], ids=["HTTP/1", "a client of both"])
def test_rest_is_http1_whatever_else_the_client_offers(door: Opened, authority: Authority, both: bool) -> None:
    with httpx.Client(verify=trusting(authority)) as client:
        assert client.post(f"{door.url}/api/v1/sessions/a/b/exec", json={"command": "pwd"}, headers=GOOD).json()[
            "stdout"
        ]
    offered = ("h2", "http/1.1") if both else ("http/1.1",)
    with connected(door, trusting(authority, *offered)) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"


def test_curl_takes_the_certificate_of_the_authority_and_no_other(door: Opened, authority: Authority) -> None:
    argv = ["curl", "-sS", "-H", "Authorization: Bearer good", f"{door.url}/api/stats"]
    with_it = subprocess.run([*argv, "--cacert", authority.ca], capture_output=True, text=True, check=False)
    assert '"max_sessions":7' in with_it.stdout, with_it.stderr
    without = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (without.returncode, without.stdout) == (60, "")  # curl(1): the peer's certificate cannot be authenticated


def test_grpc_speaks_http2_over_tls(door: Opened, authority: Authority) -> None:
    trusted = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    with grpc.secure_channel(f"localhost:{door.port}", trusted) as channel:
        assert GrpcClient(channel).v1("Exec", command="pwd").stdout == b"/root"
    with connected(door, trusting(authority, "h2")) as sock:
        assert sock.selected_alpn_protocol() == "h2"


def test_a_websocket_is_a_terminal_over_tls(door: Opened, authority: Authority) -> None:
    with connected(door, trusting(authority)) as sock:
        decoder, shown = Decoder(), b""
        rest = upgrade(sock, "127.0.0.1", "/api/v1/sessions/a/b/terminals/main", GOOD)
        sock.settimeout(DEADLINE)
        messages = list(decoder.feed(rest))
        sock.sendall(encode(BINARY, b"hello"))
        while b"you typed hello" not in shown:
            messages += decoder.feed(sock.recv(65_536))
            shown = b"".join(message.data for message in messages if message.kind == BINARY)
        assert [message.kind for message in messages if message.kind == TEXT] == [TEXT]


def test_mcp_is_there_too(door: Opened, authority: Authority) -> None:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}}  # fmt: skip
    with httpx.Client(verify=trusting(authority)) as client:
        said = client.post(
            f"{door.url}/mcp/", json=hello, headers={**GOOD, "Accept": "application/json, text/event-stream"}
        )
        assert (said.status_code, "serverInfo" in said.text) == (200, True)


def test_a_large_body_and_a_large_answer_come_whole(door: Opened, authority: Authority) -> None:
    content = bytes(range(256)) * 20_000
    with httpx.Client(verify=trusting(authority), headers=GOOD) as client:
        where = f"{door.url}/api/v1/sessions/a/b/files?path=/tmp/big"
        assert client.put(where, content=content).is_success
        assert client.get(where).content == content


def test_a_name_that_cannot_be_rebound_because_it_is_in_the_certificate_is_taken(
    authority: Authority, tmp_path: Path
) -> None:
    given = handed_over(tmp_path / "named", *authority.issue("named", "strata.example"))
    with opened(SETTINGS, credentials=given) as door, connected(door, trusting(authority), "strata.example") as sock:
        sock.sendall(b"GET /api/stats HTTP/1.1\r\nHost: strata.example\r\nAuthorization: Bearer good\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 200"


# --- what it takes


def test_nothing_below_tls_1_2_and_no_cipher_without_forward_secrecy(door: Opened, authority: Authority) -> None:
    old = trusting(authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    weak = trusting(authority)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA:AES256-GCM-SHA384:ECDHE-ECDSA-AES128-SHA")
    for made in (old, weak):
        with pytest.raises(ssl.SSLError), connected(door, made):
            pass


def test_a_client_of_tls_1_2_gets_in(door: Opened, authority: Authority) -> None:
    made = trusting(authority)
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    with connected(door, made) as sock:
        assert sock.version() == "TLSv1.2"


@pytest.mark.parametrize(
    "said",
    [
        b"GET /api/stats HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\xff\xff" + b"x" * 400,
    ],
)
def test_what_is_no_tls_is_closed_at_once_and_logged_nowhere(
    door: Opened, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    begin = time.monotonic()
    with caplog.at_level(logging.INFO), socket.create_connection(("127.0.0.1", door.port), DEADLINE) as sock:
        sock.sendall(said)
        with contextlib.suppress(ConnectionResetError):
            while sock.recv(4096):
                pass
    assert time.monotonic() - begin < 3
    assert not caplog.records


# --- bounds


def test_a_handshake_that_does_not_end_is_dropped(credentials: Path) -> None:
    with opened(SETTINGS, LIMITS._replace(header_seconds=0.3), credentials) as door:
        for said in (b"", b"\x16\x03\x01\x02\x00\x01"):
            begin = time.monotonic()
            with socket.create_connection(("127.0.0.1", door.port), DEADLINE) as sock:
                sock.sendall(said)
                with contextlib.suppress(ConnectionResetError):
                    assert sock.recv(1) == b""
            assert time.monotonic() - begin < 5


def test_who_says_nothing_after_the_handshake_is_dropped(credentials: Path, authority: Authority) -> None:
    limits = LIMITS._replace(header_seconds=0.3)
    with (
        opened(SETTINGS, limits, credentials) as door,
        connected(door, trusting(authority)) as sock,
        contextlib.suppress(ConnectionResetError, ssl.SSLEOFError),
    ):
        assert sock.recv(1) == b""


def test_a_crowd_of_half_open_handshakes_keeps_nobody_out(credentials: Path, authority: Authority) -> None:
    with opened(SETTINGS, LIMITS._replace(connections=20), credentials) as door, contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", door.port), DEADLINE)) for _ in range(25)]
        for sock in crowd[:5]:
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        with httpx.Client(verify=trusting(authority)) as client:
            assert client.get(f"{door.url}/api/stats", headers=GOOD).status_code == 200


def test_more_connections_than_there_may_be_are_told_so_over_tls(credentials: Path, authority: Authority) -> None:
    request = b"GET /api/stats HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer good\r\n\r\n"
    with opened(SETTINGS, LIMITS._replace(connections=5), credentials) as door, contextlib.ExitStack() as stack:
        for expected in [b"HTTP/1.1 200"] * 5 + [b"HTTP/1.1 503"]:
            sock = stack.enter_context(connected(door, trusting(authority)))
            sock.sendall(request)
            assert sock.recv(12) == expected


def test_a_client_that_takes_nothing_over_tls_is_dropped(credentials: Path, authority: Authority) -> None:
    content = b"x" * 50_000_000
    with opened(SETTINGS, LIMITS._replace(write_seconds=0.5), credentials) as door:
        door.room.files["/tmp/big"] = content
        with connected(door, trusting(authority)) as sock:
            sock.sendall(
                b"GET /api/v1/sessions/a/b/files?path=/tmp/big HTTP/1.1\r\nHost: 127.0.0.1\r\n"
                b"Authorization: Bearer good\r\n\r\n"
            )
            end = time.monotonic() + DEADLINE
            while door.pending() or not door.room.asked:  # nothing is read meanwhile
                assert time.monotonic() < end, "the door waits for ever"
                time.sleep(0.01)


# --- certificate and key


def refused(settings: Settings, directory: Path | str) -> str:
    with pytest.raises(InvalidArgument, match=r"^cannot serve TLS") as caught:
        tls.context(settings, str(directory))
    assert "\n" not in caught.value.message
    return caught.value.message


def test_without_a_certificate_in_the_settings_there_is_no_tls() -> None:
    assert tls.context(Settings(), "") is None


def test_a_certificate_that_was_not_handed_over_is_not_done_without(tmp_path: Path) -> None:
    assert "handed over no certificate" in refused(SETTINGS, "")
    assert "handed over no certificate" in refused(SETTINGS, tmp_path)


def test_an_expired_certificate_is_refused_with_its_end(authority: Authority, tmp_path: Path) -> None:
    message = refused(SETTINGS, handed_over(tmp_path / "old", *authority.issue("old", left=-2 * DAY)))
    assert message.startswith("cannot serve TLS with /etc/ssl/web.pem: it expired at 20")


def test_a_key_of_another_certificate_is_refused(authority: Authority, tmp_path: Path) -> None:
    (certificate, _), (_, key) = authority.issue("one"), authority.issue("other")
    message = refused(SETTINGS, handed_over(tmp_path / "pair", certificate, key))
    assert message == "cannot serve TLS with /etc/ssl/web.key: it is not the key of the certificate"


def test_an_encrypted_key_is_refused_and_nobody_asked_for_its_password(authority: Authority, tmp_path: Path) -> None:
    given = handed_over(tmp_path / "locked", *authority.issue("locked"))
    (given / tls.KEY).write_bytes(written(ec.generate_private_key(ec.SECP256R1()), b"secret"))
    assert "the key is encrypted" in refused(SETTINGS, given)


@pytest.mark.parametrize("name", [tls.CERTIFICATE, tls.KEY])
@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_that_holds_something_else_is_refused(
    authority: Authority, tmp_path: Path, name: str, content: bytes
) -> None:
    given = handed_over(tmp_path / "odd", *authority.issue("odd"))
    (given / name).write_bytes(content)
    assert SETTINGS.tls_certificate in (said := refused(SETTINGS, given)) or SETTINGS.tls_key in said


def test_a_door_that_cannot_serve_ends_with_one_sentence(authority: Authority, tmp_path: Path) -> None:
    (certificate, _), (_, key) = authority.issue("first"), authority.issue("second")
    given = handed_over(tmp_path / "pair", certificate, key)
    (tmp_path / "strata.toml").write_text('[api]\ntls_certificate = "/web.pem"\ntls_key = "/web.key"\n')
    names = dict.fromkeys(("STRATA_RUNTIME_DIR", "STRATA_STATE_DIR", "STRATA_CONFIG_DIR"), str(tmp_path))
    ended = subprocess.run(
        [sys.executable, "-m", "strata.api.main"], env=os.environ | names | {"CREDENTIALS_DIRECTORY": str(given)},
        capture_output=True, text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    said = "<3>strata-api: cannot serve TLS with /web.key: it is not the key of the certificate\n"
    assert (ended.returncode, ended.stderr) == (1, said)


def test_an_address_of_the_network_without_tls_is_told_once_at_the_start(tmp_path: Path) -> None:
    with socket.create_server(("0.0.0.0", 0)) as found:
        address = f"0.0.0.0:{found.getsockname()[1]}"
    names = dict.fromkeys(("STRATA_RUNTIME_DIR", "STRATA_STATE_DIR", "STRATA_CONFIG_DIR"), str(tmp_path))
    env = {name: value for name, value in os.environ.items() if name != "INVOCATION_ID"} | names
    env |= {"STRATA_SERVER_ADDR": address}
    argv = [sys.executable, "-m", "strata.api.main"]
    with subprocess.Popen(argv, env=env, stderr=subprocess.PIPE, text=True) as door:
        assert door.stderr
        said = []
        for line in door.stderr:
            said.append(line)
            if "is ready" in line:
                door.terminate()
    assert door.returncode == 0
    assert len([line for line in said if f"{address} is no loopback address" in line]) == 1
