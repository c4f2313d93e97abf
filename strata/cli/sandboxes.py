# SPDX-License-Identifier: MIT
"""How the verbs knock at the sandbox service, with the token where one is needed. Light: `run` starts with it."""

from __future__ import annotations

import os
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from strata.cli import call, secret
from strata.paths import Paths
from strata.sockets.client import Client

TOKEN_VARIABLE = "STRATA_TOKEN_FILE"  # noqa: S105  the name of a variable, not a secret
_SERVICE = "sandbox"


class Room:
    """One connection to the sandbox service. What is passed as descriptors stays the caller's to close."""

    def __init__(self, client: Client, token: str) -> None:
        self._client, self._token = client, token

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; whatever the service does for this connection it then stops doing."""
        self._client.close()

    def call(self, method: str, params: Mapping[str, Any], descriptors: Sequence[int] = ()) -> Any:
        """The result of `sandbox.METHOD`. Raises StrataError with a sentence for a person."""
        with call.told(f"{_SERVICE}.{method}"):
            return self._client.call(f"{_SERVICE}.{method}", params, self._token, descriptors=descriptors)

    def stream(
        self, method: str, params: Mapping[str, Any], descriptors: Sequence[int] = ()
    ) -> Generator[Any, None, None]:
        """Results of a streaming method as they come. Raises StrataError. Closing it hangs up."""
        with call.told(f"{_SERVICE}.{method}"):
            yield from self._client.stream(f"{_SERVICE}.{method}", params, self._token, descriptors)


def connect(token_file: str = "", timeout: float | None = None) -> Room:
    """A connection of one's own; `timeout` in seconds bounds every wait. Raises Unavailable.

    The token is that of `token_file`, else of STRATA_TOKEN_FILE, else none: operators are known by their uid.
    """
    file = token_file or os.environ.get(TOKEN_VARIABLE, "")
    token = secret.token(f"@{file}") if file else ""
    return Room(call.connect(Paths.from_env(), _SERVICE, timeout), token)


def ask(method: str, params: Mapping[str, Any], token_file: str = "", timeout: float | None = call.SECONDS) -> Any:
    """One call on a connection of its own. Raises StrataError."""
    with connect(token_file, timeout) as room:
        return room.call(method, params)
