# SPDX-License-Identifier: MIT
"""The way over the HTTP door, with the standard library: for other machines, and for who has a token and no socket."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from typing import Any

from strata.client import framed, routes
from strata.client.connections import JSON, Connections, lines, read_json, refusal, whole
from strata.client.descriptors import Stdio
from strata.client.feeding import pieces
from strata.client.place import Place
from strata.client.transport import Line, Params
from strata.errors import Unavailable

BYTES = "application/octet-stream"
NO_SUCH_RANGE = 416


class HttpTransport:
    """Each call has a connection of its own, so threads may share it; connections are used again."""

    def __init__(self, place: Place) -> None:
        """Raises InvalidArgument."""
        self._connections = Connections(place)

    def call(self, method: str, params: Params, patient: bool = False) -> Any:
        target = routes.target(method, params)
        body = json.dumps(target.rest).encode() if target.verb in ("POST", "PUT") else None
        headers = {"Content-Type": JSON} if body else {}
        with self._connections.response(target, headers, body, patient=patient) as response:
            return read_json(whole(response))

    def stream(self, method: str, params: Params) -> Generator[Any, None, None]:
        target = routes.target(method, params)
        with self._connections.response(target, {"Accept": "application/x-ndjson"}) as response:
            for line in lines(response):
                item = read_json(line)
                if isinstance(item, dict) and {"error", "code", "name"} <= item.keys():
                    raise refusal(item)
                yield item

    def put(self, params: Params, source: int) -> Any:
        wanted = dict(params)
        size = wanted.pop("size", None)
        headers = {"Content-Type": BYTES} | ({} if size is None else {"Content-Length": str(size)})
        target = routes.target("sandbox.put", wanted, query=True)
        with self._connections.response(target, headers, pieces(source)) as response:
            return read_json(whole(response))

    def get(self, method: str, params: Params, sink: int) -> Any:
        if params.get("offset") or params.get("size"):
            return self._part(dict(params), sink)
        target = routes.target(method, {name: params[name] for name in params if name not in ("offset", "size")})
        with self._connections.response(target, {"Accept": framed.MEDIA}) as response:
            return framed.read(response, {framed.STDOUT: framed.Into(sink)})

    def run(self, params: Params, stdio: Stdio) -> Any:
        named = dict(zip(stdio.params.get("descriptors", ()), stdio.descriptors, strict=True))
        if not named:
            return self.call("sandbox.run", {**params, **stdio.params}, patient=True)
        streams = framed.streams(named)
        headers = {"Accept": framed.MEDIA}
        if "stdin" in named:
            target = routes.target("sandbox.run", params, query=True)
            opened = self._connections.response_beside(target, headers | {"Content-Type": BYTES}, named["stdin"])
        else:
            target = routes.target("sandbox.run", params)
            inline = {name: value for name, value in stdio.params.items() if name != "descriptors"}
            body = json.dumps({**target.rest, **inline}).encode()
            opened = self._connections.response(target, headers | {"Content-Type": JSON}, body)
        with opened as response:
            return framed.with_output(framed.read(response, streams), streams)

    def attach(self, params: Params) -> Line:
        from strata.client import viewing, websocket  # terminals over HTTP are rare, and take threads

        target, way = routes.target("sandbox.attach", params), self._connections.dedicated()
        rest = websocket.upgrade(way.sock, way.host, way.prefix + target.path, way.headers)
        return viewing.line(way.sock, rest)

    def close(self) -> None:
        self._connections.close()

    def _part(self, params: dict[str, Any], sink: int) -> Any:
        import hashlib  # as in local.py

        offset, size = params.pop("offset", None) or 0, params.pop("size", None)
        wanted = f"bytes={offset}-" + (str(offset + size - 1) if size else "")
        digest, came = hashlib.sha256(), 0
        target = routes.target("sandbox.get", params)
        with self._connections.response(target, {"Range": wanted}, passing=NO_SUCH_RANGE) as response:
            if response.status == NO_SUCH_RANGE:
                response.read()
                return {"size": 0, "sha256": digest.hexdigest(), "eof": True}
            told = response.length  # None where the answer does not say
            while piece := response.read(framed.PIECE):
                framed.write(sink, piece)
                digest.update(piece)
                came += len(piece)
        if came != told:
            raise Unavailable(f"cannot read {params.get('path')}: {came} bytes of {told} came, then the door hung up")
        return {"size": came, "sha256": digest.hexdigest(), "path": os.fspath(params.get("path", ""))}
