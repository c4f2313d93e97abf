# SPDX-License-Identifier: MIT
"""The registry over its real socket: who may change it, what it shows, and what outlives it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from rooms import Issuer, Journal, Served, as_stranger, directory, listening_journal, served

from strata.config import OperatorSettings
from strata.errors import InvalidArgument, NotFound, ResourceExhausted
from strata.policy.gate import Gate
from strata.policy.trust import Trust
from strata.registry import endpoint, handlers, table
from strata.registry.endpoint import Tcp, Unix
from strata.registry.hold import Hold
from strata.registry.store import FileStore, NoStore, Store, from_env
from strata.registry.table import Entry, Table
from strata.sockets.server import Server
from strata.systemd.audit import Denials

ISSUER = Issuer()


class Clock:
    """Monotonic seconds that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Registry(Served):
    """A served registry, its clock, and the journal it writes to."""

    clock: Clock
    journal: Journal


@contextlib.contextmanager
def registry(patch: pytest.MonkeyPatch, store: Store[Entry] | None = None, hold: float = 0.0) -> Iterator[Registry]:
    clock = Clock()

    @contextlib.asynccontextmanager
    async def compose() -> AsyncIterator[Server]:
        trust = Trust()
        trust.set_keys([ISSUER.public])
        room = handlers.Room(Table(store or NoStore(), clock), Hold(hold))
        yield Server(handlers.METHODS, room, Gate(trust, OperatorSettings()), Denials())

    with directory() as made, listening_journal(patch, made / "journal") as journal:  # noqa: SIM117
        with served(compose, made / "registry.sock") as up:
            ring = Registry(up.path, up.loop)
            ring.clock, ring.journal = clock, journal
            yield ring


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    with registry(monkeypatch) as up:
        yield up


def test_015_what_was_registered_resolves(ring: Registry) -> None:
    assert ring.call("registry.register", service="x", endpoint="tcp://1.2.3.4:5", api_v=2) == {"status": "registered"}
    assert ring.call("registry.resolve", service="x") == {"endpoint": "tcp://1.2.3.4:5", "api_v": 2}


@pytest.mark.parametrize(("given", "kept"), [({}, 1), ({"api_v": 0}, 1), ({"api_v": 2.9}, 2), ({"api_v": 7}, 7)])
def test_016_api_v_is_read_as_leniently_as_the_reference_does(
    ring: Registry, given: dict[str, float], kept: int
) -> None:
    ring.call("registry.register", service="x", endpoint="/run/x.sock", **given)
    assert ring.call("registry.resolve", service="x")["api_v"] == kept


@pytest.mark.parametrize(
    ("params", "missing"),
    [({"endpoint": "/x"}, "service"), ({"service": "x"}, "endpoint"), ({}, "service"), ({"service": 5}, "service")],
)
def test_017_a_missing_parameter_is_named(ring: Registry, params: dict[str, object], missing: str) -> None:
    with pytest.raises(InvalidArgument, match=f"^missing {missing} param$"):
        ring.call("registry.register", **params)


def test_018_the_last_registration_wins(ring: Registry) -> None:
    ring.call("registry.register", service="x", endpoint="/a")
    ring.call("registry.register", service="x", endpoint="/b")
    assert ring.call("registry.list") == {"services": [{"service": "x", "endpoint": "/b", "api_v": 1}]}


def test_019_an_unknown_service_is_not_found_and_a_nameless_one_is_invalid(ring: Registry) -> None:
    with pytest.raises(NotFound, match=r"^service not registered: nobody$"):
        ring.call("registry.resolve", service="nobody")
    with pytest.raises(InvalidArgument, match=r"^missing service param$"):
        ring.call("registry.resolve")


def test_020_an_empty_registry_lists_nothing_but_a_list(ring: Registry) -> None:
    assert ring.call("registry.list") == {"services": []}


def test_the_list_is_sorted_by_name(ring: Registry) -> None:
    for name in ("b", "c", "a"):
        ring.call("registry.register", service=name, endpoint="/x")
    assert [row["service"] for row in ring.call("registry.list")["services"]] == ["a", "b", "c"]


def test_023_a_stranger_reads_but_does_not_write(ring: Registry) -> None:
    ring.call("registry.register", service="identity", endpoint="/right")
    for method in ("registry.register", "registry.unregister"):
        reply = as_stranger(ring.path, method, service="identity", endpoint="/wrong")
        assert (reply["ok"], reply["error"]["code"]) == (False, 2)
    assert as_stranger(ring.path, "registry.resolve", service="identity")["result"]["endpoint"] == "/right"
    assert as_stranger(ring.path, "registry.list")["ok"]
    assert ring.journal.wait_for("auth.denied", action="registry.register")["STRATA_SUBJECT"] == "uid:65534"


def test_a_token_with_the_right_registers_but_takes_over_nothing(ring: Registry) -> None:
    token = ISSUER.token("registry.register", "registry.unregister", service="registry")
    ring.call("registry.register", service="identity", endpoint="/right", unit="strata-identity.service")
    assert as_stranger(ring.path, "registry.register", token, service="own", endpoint="/own")["ok"]
    assert as_stranger(ring.path, "registry.register", token, service="own", endpoint="/own2")["ok"]
    for method, params in (
        ("registry.register", {"service": "identity", "endpoint": "/wrong"}),
        ("registry.unregister", {"service": "identity"}),
        ("registry.unregister", {"unit": "strata-identity.service"}),
    ):
        reply = as_stranger(ring.path, method, token, **params)
        assert reply["error"]["code"] == 3
        assert "registered by uid" in reply["error"]["message"]
    assert ring.call("registry.resolve", service="identity")["endpoint"] == "/right"


def test_a_token_holder_has_a_share_of_the_table(ring: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond it he is refused and everybody else is served; renewing what he has stays possible."""
    monkeypatch.setattr(handlers, "MAX_OF_A_HOLDER", 2)
    token = ISSUER.token("registry.register", service="registry")
    for name in ("a", "b"):
        assert as_stranger(ring.path, "registry.register", token, service=name, endpoint="/x")["ok"]
    assert as_stranger(ring.path, "registry.register", token, service="c", endpoint="/x")["error"]["code"] == 7
    assert as_stranger(ring.path, "registry.register", token, service="a", endpoint="/y")["ok"]
    ring.call("registry.register", service="c", endpoint="/x")


def test_a_token_without_the_right_registers_nothing(ring: Registry) -> None:
    reply = as_stranger(
        ring.path, "registry.register", ISSUER.token("registry.list", service="registry"), service="x", endpoint="/x"
    )
    assert reply["error"] == reply["error"] | {"code": 3, "message": 'method "registry.register" not permitted'}


def test_unregistering_forgets_one_service(ring: Registry) -> None:
    ring.call("registry.register", service="x", endpoint="/x")
    assert ring.call("registry.unregister", service="x") == {"status": "unregistered"}
    for method in ("registry.resolve", "registry.unregister"):
        with pytest.raises(NotFound):
            ring.call(method, service="x")


def test_unregistering_a_unit_forgets_all_that_is_tied_to_it(ring: Registry) -> None:
    for name, unit in (("a", "u.service"), ("b", "u.service"), ("c", "v.service")):
        ring.call("registry.register", service=name, endpoint="/x", unit=unit)
    ring.call("registry.unregister", unit="u.service")
    assert ring.call("registry.list")["services"] == [
        {"service": "c", "endpoint": "/x", "api_v": 1, "unit": "v.service"}
    ]
    with pytest.raises(NotFound):
        ring.call("registry.unregister", unit="u.service")


@pytest.mark.parametrize("params", [{}, {"service": ""}, {"service": "a", "unit": "b"}])
def test_unregistering_takes_exactly_one_name(ring: Registry, params: dict[str, str]) -> None:
    with pytest.raises(InvalidArgument):
        ring.call("registry.unregister", **params)


def test_a_lease_runs_out_unless_it_is_renewed(ring: Registry) -> None:
    ring.call("registry.register", service="x", endpoint="/x", lease_seconds=10)
    assert ring.call("registry.resolve", service="x")["lease_seconds"] == 10
    ring.clock.now += 9
    ring.call("registry.register", service="x", endpoint="/x", lease_seconds=10)
    ring.clock.now += 9.5
    assert ring.call("registry.list")["services"][0]["lease_seconds"] == 0.5
    ring.clock.now += 0.5
    assert ring.call("registry.list") == {"services": []}
    with pytest.raises(NotFound):
        ring.call("registry.resolve", service="x")


@pytest.mark.parametrize("seconds", [0, -1, 1e300, "soon"])
def test_a_lease_that_cannot_be_is_refused(ring: Registry, seconds: object) -> None:
    with pytest.raises(InvalidArgument, match="lease_seconds"):
        ring.call("registry.register", service="x", endpoint="/x", lease_seconds=seconds)


@pytest.mark.parametrize(
    "params", [{"service": "n" * 256}, {"service": "a\nb"}, {"unit": "u" * 256}, {"api_v": -1}, {"api_v": 1e300}]
)
def test_a_name_or_version_that_cannot_be_is_refused(ring: Registry, params: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument):
        ring.call("registry.register", **{"service": "x", "endpoint": "/x"} | params)
    assert ring.call("registry.list") == {"services": []}


def test_odd_names_are_kept_as_they_are(ring: Registry) -> None:
    for name in ("ünï", "a b", "../x", "n" * 255, "🜁"):
        ring.call("registry.register", service=name, endpoint="/x")
        assert ring.call("registry.resolve", service=name)["api_v"] == 1


def test_the_registry_says_when_it_is_full(ring: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_ENTRIES", 3)
    for name in "abc":
        ring.call("registry.register", service=name, endpoint="/x")
    with pytest.raises(ResourceExhausted, match="holds 3 services"):
        ring.call("registry.register", service="d", endpoint="/x")
    ring.call("registry.register", service="c", endpoint="/y")
    assert len(ring.call("registry.list")["services"]) == 3


def test_changes_are_audited(ring: Registry) -> None:
    ring.call("registry.register", service="x", endpoint="/x")
    ring.call("registry.unregister", service="x")
    for event in ("svc.registered", "svc.unregistered"):
        record = ring.journal.wait_for(event, resource="x", endpoint="/x")
        assert record["STRATA_REQ_ID"]
        assert record["STRATA_SUBJECT"].startswith("uid:")


def test_the_table_outlives_the_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    store = from_env(Entry, {"RUNTIME_DIRECTORY": str(tmp_path)})
    with registry(monkeypatch, store) as first:
        first.call("registry.register", service="x", endpoint="/x", unit="x.service", lease_seconds=10)
        before = first.call("registry.list")
    with registry(monkeypatch, from_env(Entry, {"RUNTIME_DIRECTORY": str(tmp_path)})) as second:
        assert second.call("registry.list") == before


@pytest.mark.parametrize("damage", [b"", b"{", b"[{}]", b'[{"service": 5}]', b"\xff\xfe", b"null"])
def test_a_damaged_table_is_set_aside_loudly(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "table.json").write_bytes(damage)
    store = FileStore(tmp_path / "table.json", Entry)
    assert store.load() == ()
    assert "services must register again" in caplog.text
    assert (tmp_path / "table.damaged").read_bytes() == damage
    store.save((Entry("x", "/x", 1, 0),))
    assert store.load() == (Entry("x", "/x", 1, 0),)


def test_a_table_that_cannot_be_kept_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with registry(monkeypatch, FileStore(tmp_path / "gone" / "table.json", Entry)) as ring:
        with pytest.raises(ResourceExhausted, match="cannot keep the table"):
            ring.call("registry.register", service="x", endpoint="/x")
        assert ring.call("registry.list") == {"services": []}


def test_expired_entries_are_freed(tmp_path: Path) -> None:
    clock = Clock()
    store = FileStore(tmp_path / "table.json", Entry)
    known = Table(store, clock)
    known.put(Entry("gone", "/x", 1, 0, deadline=clock.now + 1))
    known.put(Entry("stays", "/x", 1, 0))
    clock.now += 1
    assert [entry.service for entry in known.expire()] == ["gone"]
    assert known.expire() == []
    assert [entry.service for entry in store.load()] == ["stays"]


def test_a_registry_run_by_hand_keeps_nothing() -> None:
    assert from_env(Entry, {}).load() == ()


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("unix:///run/x.sock", Unix("/run/x.sock")),
        ("/run/x.sock", Unix("/run/x.sock")),
        ("tcp://1.2.3.4:5", Tcp("1.2.3.4", 5)),
        ("tcp://db_1.example.org.:65535", Tcp("db_1.example.org.", 65535)),
        ("tcp://[::1]:80", Tcp("::1", 80)),
        ("tcp://[2001:0db8:0::1]:80", Tcp("2001:db8::1", 80)),
    ],
)
def test_an_endpoint_is_a_unix_socket_or_a_tcp_port(text: str, parsed: Unix | Tcp) -> None:
    assert endpoint.parse(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "x", "run/x.sock", "unix://run/x.sock", "unix:/x", "http://x:1", "tcp://", "tcp://x", "tcp://:5", "tcp://x:0",
        "tcp://x:65536", "tcp://x:٣", "tcp://x:5/", "tcp://u@x:5", "tcp://::1:5", "tcp://[x]:5", "tcp://[::1]",
        "tcp://[fe80::1%]:5", "tcp://-x:5", "tcp://x..y:5", "tcp://" + "x" * 64 + ":5", "/a b", "/a\nb", "/a\0b", "://",
        "/" + "x" * 4096,
    ],
)  # fmt: skip
def test_any_other_endpoint_is_refused(ring: Registry, text: str) -> None:
    with pytest.raises(InvalidArgument, match="endpoint"):
        ring.call("registry.register", service="x", endpoint=text)


def test_every_parameter_is_described() -> None:
    for method in handlers.METHODS:
        for field in msgspec.inspect.type_info(method.params).fields:  # type: ignore[attr-defined]
            assert isinstance(field.type, msgspec.inspect.Metadata)


def test_a_registry_without_its_table_says_that_a_name_is_unknown_only_when_all_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who asked first gets what is registered after he has asked; what is known is answered at once."""
    asked, wait = threading.Semaphore(0), Hold.wait

    async def seen(hold: Hold) -> None:
        asked.release()
        await wait(hold)

    monkeypatch.setattr(Hold, "wait", seen)
    with registry(monkeypatch, hold=60.0) as ring, ThreadPoolExecutor() as asking:
        known = asking.submit(ring.call, "registry.resolve", service="x")
        unknown = asking.submit(ring.call, "registry.resolve", service="nobody")
        listed = asking.submit(ring.call, "registry.list")
        assert all(asked.acquire(timeout=10) for _ in range(3))
        ring.call("registry.register", service="x", endpoint="/a")
        assert ring.call("registry.resolve", service="x")["endpoint"] == "/a"
        assert not any(answer.done() for answer in (known, unknown, listed))
        assert ring.call("registry.complete") == {"status": "complete"}
        assert known.result(10)["endpoint"] == "/a"
        assert [row["service"] for row in listed.result(10)["services"]] == ["x"]
        with pytest.raises(NotFound):
            unknown.result(10)
        with pytest.raises(NotFound):
            ring.call("registry.resolve", service="nobody")


def test_a_registry_that_nobody_tells_answers_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with registry(monkeypatch, hold=0.2) as ring:
        assert ring.call("registry.list") == {"services": []}
        with pytest.raises(NotFound):
            ring.call("registry.resolve", service="x")


def test_only_an_operator_says_that_all_is_told(ring: Registry) -> None:
    assert as_stranger(ring.path, "registry.complete")["error"]["code"] == 2


def test_a_table_that_was_kept_is_whole_even_when_it_is_empty(tmp_path: Path) -> None:
    """Only a registry that finds nothing has to wait for what the supervisor knows."""
    store = FileStore(tmp_path / "table.json", Entry)
    assert (store.load(), store.fresh) == ((), True)
    store.save(())
    again = FileStore(tmp_path / "table.json", Entry)
    assert (again.load(), again.fresh) == ((), False)
