# SPDX-License-Identifier: MIT
# ruff: noqa
# fmt: off
# mypy: ignore-errors
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateSessionRequest(_message.Message):
    __slots__ = ("ownerID", "sessionID")
    OWNERID_FIELD_NUMBER: _ClassVar[int]
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    ownerID: str
    sessionID: str
    def __init__(self, ownerID: _Optional[str] = ..., sessionID: _Optional[str] = ...) -> None: ...

class CreateSessionResponse(_message.Message):
    __slots__ = ("ownerID", "sessionID", "createdAt")
    OWNERID_FIELD_NUMBER: _ClassVar[int]
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    CREATEDAT_FIELD_NUMBER: _ClassVar[int]
    ownerID: str
    sessionID: str
    createdAt: str
    def __init__(self, ownerID: _Optional[str] = ..., sessionID: _Optional[str] = ..., createdAt: _Optional[str] = ...) -> None: ...

class CloseSessionRequest(_message.Message):
    __slots__ = ("ownerID", "sessionID")
    OWNERID_FIELD_NUMBER: _ClassVar[int]
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    ownerID: str
    sessionID: str
    def __init__(self, ownerID: _Optional[str] = ..., sessionID: _Optional[str] = ...) -> None: ...

class CloseSessionResponse(_message.Message):
    __slots__ = ("success", "message")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    success: bool
    message: str
    def __init__(self, success: _Optional[bool] = ..., message: _Optional[str] = ...) -> None: ...

class ExecRequest(_message.Message):
    __slots__ = ("ownerID", "sessionID", "command", "timeoutMs")
    OWNERID_FIELD_NUMBER: _ClassVar[int]
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    TIMEOUTMS_FIELD_NUMBER: _ClassVar[int]
    ownerID: str
    sessionID: str
    command: str
    timeoutMs: int
    def __init__(self, ownerID: _Optional[str] = ..., sessionID: _Optional[str] = ..., command: _Optional[str] = ..., timeoutMs: _Optional[int] = ...) -> None: ...

class ExecResponse(_message.Message):
    __slots__ = ("output", "elapsed", "truncated", "error")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    output: str
    elapsed: str
    truncated: bool
    error: str
    def __init__(self, output: _Optional[str] = ..., elapsed: _Optional[str] = ..., truncated: _Optional[bool] = ..., error: _Optional[str] = ...) -> None: ...

class Resize(_message.Message):
    __slots__ = ("rows", "cols")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    cols: int
    def __init__(self, rows: _Optional[int] = ..., cols: _Optional[int] = ...) -> None: ...

class ShellInput(_message.Message):
    __slots__ = ("ownerID", "sessionID", "stdinData", "resize")
    OWNERID_FIELD_NUMBER: _ClassVar[int]
    SESSIONID_FIELD_NUMBER: _ClassVar[int]
    STDINDATA_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    ownerID: str
    sessionID: str
    stdinData: bytes
    resize: Resize
    def __init__(self, ownerID: _Optional[str] = ..., sessionID: _Optional[str] = ..., stdinData: _Optional[bytes] = ..., resize: _Optional[_Union[Resize, _Mapping]] = ...) -> None: ...

class ShellOutput(_message.Message):
    __slots__ = ("data", "closed", "error")
    DATA_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    closed: bool
    error: str
    def __init__(self, data: _Optional[bytes] = ..., closed: _Optional[bool] = ..., error: _Optional[str] = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatsResponse(_message.Message):
    __slots__ = ("activeSessions", "maxSessions")
    ACTIVESESSIONS_FIELD_NUMBER: _ClassVar[int]
    MAXSESSIONS_FIELD_NUMBER: _ClassVar[int]
    activeSessions: int
    maxSessions: int
    def __init__(self, activeSessions: _Optional[int] = ..., maxSessions: _Optional[int] = ...) -> None: ...
