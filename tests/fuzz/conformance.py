# SPDX-License-Identifier: MIT
"""The served OpenAPI document held against a running Strata, with schemathesis: `python conformance.py URL TOKEN_FILE`.

Every operation of the document gets inputs that the document allows and inputs that it does not. An answer must have a
status, a media type and a body that the document tells, and be no fault of the server's; what comes later must still be
answered. Paths and bodies name the sessions of one owner only, so that all that is done is done in them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.errors
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

OWNER = "fuzz"
SESSIONS = ("one", "two", "not-there")
WITHIN = 30.0
MOST_MS = 200
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
# Streams that end when their client leaves; and 101, which no client of HTTP can be given.
ENDLESS = ("/api/v1/sessions/{owner}/{session}/watch", "/api/ws/", "/terminals/{terminal}")


class Server:
    """A running door, and a token for all sessions of OWNER."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.headers = url, {"Authorization": f"Bearer {token}"}
        with urllib.request.urlopen(f"{url}/api/openapi.json", timeout=WITHIN) as found:
            self.document: dict[str, Any] = json.load(found)

    def fuzz(self, examples: int, seed: int = 0, seconds: float = 1e9) -> Counter[str]:
        """So many inputs of each operation, right and wrong, always the same for one seed; how many there were, by
        operation. Raises what the first answer that is not as told made of it."""
        counts: Counter[str] = Counter()
        end = time.monotonic() + seconds
        schema = schemathesis.openapi.from_dict(self.document)
        for result in schema.get_all_operations():
            operation = result.ok()
            name = f"{operation.method.upper()} {operation.path}"
            if any(part in operation.path for part in ENDLESS) and operation.method == "get":
                continue
            for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                counts[name] += self._inputs(operation.as_strategy(generation_mode=mode), examples, seed, end)
        return counts

    def _inputs(self, cases: Any, examples: int, seed: int, end: float) -> int:
        count = 0

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=cases)
        def one(case: Case) -> None:
            nonlocal count
            if time.monotonic() < end:
                self._ask(tamed(case))
                count += 1

        with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # none is wrong where there are no parameters
            one()
        return count

    def _ask(self, case: Case) -> None:
        response = case.call(base_url=self.url, headers=self.headers, timeout=WITHIN)
        case.validate_response(response, checks=CHECKS)


def tamed(case: Case) -> Case:
    """The same within the owner's sessions, and with no wait of minutes."""
    parameters = case.path_parameters
    if "owner" in parameters:
        parameters["owner"] = OWNER
        parameters["session"] = SESSIONS[len(str(parameters.get("session"))) % len(SESSIONS)]
    if isinstance(case.query, dict):
        case.query.pop("follow", None)
        _hurry(case.query)
    if isinstance(case.body, dict):
        for name in ("owner", "owner_id", "user_id"):
            if name in case.body:
                case.body[name] = OWNER
        for name in ("session", "session_id", "to_session"):
            if isinstance(case.body.get(name), str):
                case.body[name] = SESSIONS[len(case.body[name]) % len(SESSIONS)]
        _hurry(case.body)
    return case


def _hurry(given: dict[str, Any]) -> None:
    for name in ("timeout_ms", "wait_ms"):
        if isinstance(given.get(name), int) or (name == "timeout_ms" and "argv" in given):
            given[name] = MOST_MS
    if "command" in given:
        given["timeout_ms"] = MOST_MS


def main() -> None:
    """Until the seconds are over, with another seed each time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("url")
    parser.add_argument("token_file", type=Path, help=f"a token of the sandbox service for the owner {OWNER}")
    parser.add_argument("--examples", type=int, default=20, help="of each operation and seed, right and wrong (20)")
    parser.add_argument("--seconds", type=float, default=3600, help="in all (3600)")
    parser.add_argument("--seed", type=int, default=0, help="the first (0)")
    asked = parser.parse_args()
    server = Server(asked.url, asked.token_file.read_text().strip())
    total: Counter[str] = Counter()
    began, seed = time.monotonic(), asked.seed
    while (left := asked.seconds - (time.monotonic() - began)) > 0:
        total += server.fuzz(asked.examples, seed, left)
        seed += 1
    took = time.monotonic() - began
    print(f"{total.total()} requests of {len(total)} operations in {took:.0f} s, {seed - asked.seed} seeds")


if __name__ == "__main__":
    main()
