# SPDX-License-Identifier: MIT
# ruff: noqa
# fmt: off
# mypy: ignore-errors
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SessionRequest(_message.Message):
    __slots__ = ("owner", "session")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("memory_max", "tasks_max", "cpu_quota", "disk_max", "inodes_max", "files_max")
    MEMORY_MAX_FIELD_NUMBER: _ClassVar[int]
    TASKS_MAX_FIELD_NUMBER: _ClassVar[int]
    CPU_QUOTA_FIELD_NUMBER: _ClassVar[int]
    DISK_MAX_FIELD_NUMBER: _ClassVar[int]
    INODES_MAX_FIELD_NUMBER: _ClassVar[int]
    FILES_MAX_FIELD_NUMBER: _ClassVar[int]
    memory_max: str
    tasks_max: int
    cpu_quota: str
    disk_max: str
    inodes_max: int
    files_max: int
    def __init__(self, memory_max: _Optional[str] = ..., tasks_max: _Optional[int] = ..., cpu_quota: _Optional[str] = ..., disk_max: _Optional[str] = ..., inodes_max: _Optional[int] = ..., files_max: _Optional[int] = ...) -> None: ...

class CreateSessionRequest(_message.Message):
    __slots__ = ("owner", "session", "template", "base", "network", "driver", "env", "labels", "limits", "ttl", "lifetime", "from_snapshot")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_FIELD_NUMBER: _ClassVar[int]
    FROM_SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    template: str
    base: str
    network: str
    driver: str
    env: _containers.ScalarMap[str, str]
    labels: _containers.ScalarMap[str, str]
    limits: Limits
    ttl: str
    lifetime: str
    from_snapshot: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., template: _Optional[str] = ..., base: _Optional[str] = ..., network: _Optional[str] = ..., driver: _Optional[str] = ..., env: _Optional[_Mapping[str, str]] = ..., labels: _Optional[_Mapping[str, str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., ttl: _Optional[str] = ..., lifetime: _Optional[str] = ..., from_snapshot: _Optional[str] = ...) -> None: ...

class Session(_message.Message):
    __slots__ = ("owner", "session", "created_at", "created", "unit", "state", "driver", "network", "limits", "ttl_seconds", "expires_at", "labels", "warnings", "idle_seconds", "detail")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    DRIVER_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    TTL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    IDLE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    created_at: str
    created: bool
    unit: str
    state: str
    driver: str
    network: str
    limits: Limits
    ttl_seconds: float
    expires_at: str
    labels: _containers.ScalarMap[str, str]
    warnings: _containers.RepeatedScalarFieldContainer[str]
    idle_seconds: float
    detail: _struct_pb2.Struct
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., created_at: _Optional[str] = ..., created: _Optional[bool] = ..., unit: _Optional[str] = ..., state: _Optional[str] = ..., driver: _Optional[str] = ..., network: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., ttl_seconds: _Optional[float] = ..., expires_at: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., warnings: _Optional[_Iterable[str]] = ..., idle_seconds: _Optional[float] = ..., detail: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ListSessionsRequest(_message.Message):
    __slots__ = ("owner", "labels", "state")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OWNER_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    owner: str
    labels: _containers.ScalarMap[str, str]
    state: str
    def __init__(self, owner: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., state: _Optional[str] = ...) -> None: ...

class ListSessionsReply(_message.Message):
    __slots__ = ("sessions",)
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    sessions: _containers.RepeatedCompositeFieldContainer[Session]
    def __init__(self, sessions: _Optional[_Iterable[_Union[Session, _Mapping]]] = ...) -> None: ...

class CloseSessionReply(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: str
    def __init__(self, status: _Optional[str] = ...) -> None: ...

class ExtendRequest(_message.Message):
    __slots__ = ("owner", "session", "ttl", "lifetime")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    LIFETIME_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    ttl: str
    lifetime: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., ttl: _Optional[str] = ..., lifetime: _Optional[str] = ...) -> None: ...

class ExecRequest(_message.Message):
    __slots__ = ("owner", "session", "command", "timeout_ms", "stdin")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    command: str
    timeout_ms: int
    stdin: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., command: _Optional[str] = ..., timeout_ms: _Optional[int] = ..., stdin: _Optional[str] = ...) -> None: ...

class CommandResult(_message.Message):
    __slots__ = ("output", "stdout", "stderr", "exit_code", "signal", "ended", "elapsed", "elapsed_ms", "truncated", "cpu_ms", "memory_peak", "cwd", "error", "shell", "id", "state")
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_FIELD_NUMBER: _ClassVar[int]
    ELAPSED_MS_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    CPU_MS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PEAK_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SHELL_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    output: bytes
    stdout: bytes
    stderr: bytes
    exit_code: int
    signal: str
    ended: str
    elapsed: str
    elapsed_ms: float
    truncated: bool
    cpu_ms: float
    memory_peak: int
    cwd: str
    error: str
    shell: str
    id: str
    state: str
    def __init__(self, output: _Optional[bytes] = ..., stdout: _Optional[bytes] = ..., stderr: _Optional[bytes] = ..., exit_code: _Optional[int] = ..., signal: _Optional[str] = ..., ended: _Optional[str] = ..., elapsed: _Optional[str] = ..., elapsed_ms: _Optional[float] = ..., truncated: _Optional[bool] = ..., cpu_ms: _Optional[float] = ..., memory_peak: _Optional[int] = ..., cwd: _Optional[str] = ..., error: _Optional[str] = ..., shell: _Optional[str] = ..., id: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class RunStart(_message.Message):
    __slots__ = ("owner", "session", "argv", "env", "cwd", "timeout_ms", "background", "stdin", "id")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    BACKGROUND_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    argv: _containers.RepeatedScalarFieldContainer[str]
    env: _containers.ScalarMap[str, str]
    cwd: str
    timeout_ms: int
    background: bool
    stdin: bytes
    id: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., argv: _Optional[_Iterable[str]] = ..., env: _Optional[_Mapping[str, str]] = ..., cwd: _Optional[str] = ..., timeout_ms: _Optional[int] = ..., background: _Optional[bool] = ..., stdin: _Optional[bytes] = ..., id: _Optional[str] = ...) -> None: ...

class RunInput(_message.Message):
    __slots__ = ("start", "stdin", "signal")
    START_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    start: RunStart
    stdin: bytes
    signal: str
    def __init__(self, start: _Optional[_Union[RunStart, _Mapping]] = ..., stdin: _Optional[bytes] = ..., signal: _Optional[str] = ...) -> None: ...

class OutputChunk(_message.Message):
    __slots__ = ("stream", "offset", "data")
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    stream: str
    offset: int
    data: bytes
    def __init__(self, stream: _Optional[str] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class RunOutput(_message.Message):
    __slots__ = ("chunk", "result")
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    chunk: OutputChunk
    result: CommandResult
    def __init__(self, chunk: _Optional[_Union[OutputChunk, _Mapping]] = ..., result: _Optional[_Union[CommandResult, _Mapping]] = ...) -> None: ...

class RunRequest(_message.Message):
    __slots__ = ("owner", "session", "id")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    id: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., id: _Optional[str] = ...) -> None: ...

class SignalRequest(_message.Message):
    __slots__ = ("owner", "session", "id", "signal", "group")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    id: str
    signal: str
    group: bool
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., id: _Optional[str] = ..., signal: _Optional[str] = ..., group: _Optional[bool] = ...) -> None: ...

class WaitRequest(_message.Message):
    __slots__ = ("owner", "session", "id", "wait_ms")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    id: str
    wait_ms: int
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., id: _Optional[str] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class Offsets(_message.Message):
    __slots__ = ("stdout", "stderr")
    STDOUT_FIELD_NUMBER: _ClassVar[int]
    STDERR_FIELD_NUMBER: _ClassVar[int]
    stdout: int
    stderr: int
    def __init__(self, stdout: _Optional[int] = ..., stderr: _Optional[int] = ...) -> None: ...

class OutputRequest(_message.Message):
    __slots__ = ("owner", "session", "id", "offset", "follow")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    id: str
    offset: Offsets
    follow: bool
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., id: _Optional[str] = ..., offset: _Optional[_Union[Offsets, _Mapping]] = ..., follow: _Optional[bool] = ...) -> None: ...

class RunInfo(_message.Message):
    __slots__ = ("id", "argv", "state", "started_at", "exit_code", "ended")
    ID_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    id: str
    argv: _containers.RepeatedScalarFieldContainer[str]
    state: str
    started_at: str
    exit_code: int
    ended: str
    def __init__(self, id: _Optional[str] = ..., argv: _Optional[_Iterable[str]] = ..., state: _Optional[str] = ..., started_at: _Optional[str] = ..., exit_code: _Optional[int] = ..., ended: _Optional[str] = ...) -> None: ...

class RunsReply(_message.Message):
    __slots__ = ("runs",)
    RUNS_FIELD_NUMBER: _ClassVar[int]
    runs: _containers.RepeatedCompositeFieldContainer[RunInfo]
    def __init__(self, runs: _Optional[_Iterable[_Union[RunInfo, _Mapping]]] = ...) -> None: ...

class TerminalRequest(_message.Message):
    __slots__ = ("owner", "session", "terminal")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    terminal: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., terminal: _Optional[str] = ...) -> None: ...

class ShellStart(_message.Message):
    __slots__ = ("owner", "session", "terminal", "rows", "cols", "offset", "command")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    terminal: str
    rows: int
    cols: int
    offset: int
    command: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., terminal: _Optional[str] = ..., rows: _Optional[int] = ..., cols: _Optional[int] = ..., offset: _Optional[int] = ..., command: _Optional[str] = ...) -> None: ...

class WindowSize(_message.Message):
    __slots__ = ("rows", "cols")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    cols: int
    def __init__(self, rows: _Optional[int] = ..., cols: _Optional[int] = ...) -> None: ...

class ShellInput(_message.Message):
    __slots__ = ("start", "data", "resize")
    START_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    start: ShellStart
    data: bytes
    resize: WindowSize
    def __init__(self, start: _Optional[_Union[ShellStart, _Mapping]] = ..., data: _Optional[bytes] = ..., resize: _Optional[_Union[WindowSize, _Mapping]] = ...) -> None: ...

class Attached(_message.Message):
    __slots__ = ("terminal", "offset", "rows", "cols", "viewers", "viewer", "lost")
    TERMINAL_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    VIEWERS_FIELD_NUMBER: _ClassVar[int]
    VIEWER_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    terminal: str
    offset: int
    rows: int
    cols: int
    viewers: int
    viewer: int
    lost: bool
    def __init__(self, terminal: _Optional[str] = ..., offset: _Optional[int] = ..., rows: _Optional[int] = ..., cols: _Optional[int] = ..., viewers: _Optional[int] = ..., viewer: _Optional[int] = ..., lost: _Optional[bool] = ...) -> None: ...

class ShellEnded(_message.Message):
    __slots__ = ("ended", "exit_code", "detail")
    ENDED_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ended: str
    exit_code: int
    detail: _struct_pb2.Struct
    def __init__(self, ended: _Optional[str] = ..., exit_code: _Optional[int] = ..., detail: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ShellOutput(_message.Message):
    __slots__ = ("attached", "data", "ended")
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    attached: Attached
    data: bytes
    ended: ShellEnded
    def __init__(self, attached: _Optional[_Union[Attached, _Mapping]] = ..., data: _Optional[bytes] = ..., ended: _Optional[_Union[ShellEnded, _Mapping]] = ...) -> None: ...

class TerminalsReply(_message.Message):
    __slots__ = ("terminals",)
    TERMINALS_FIELD_NUMBER: _ClassVar[int]
    terminals: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    def __init__(self, terminals: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ...) -> None: ...

class PathRequest(_message.Message):
    __slots__ = ("owner", "session", "path", "path_b64", "next")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PATH_B64_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    path: str
    path_b64: str
    next: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., path: _Optional[str] = ..., path_b64: _Optional[str] = ..., next: _Optional[str] = ...) -> None: ...

class PutStart(_message.Message):
    __slots__ = ("owner", "session", "path", "mode", "size", "sha256", "path_b64")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    PATH_B64_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    path: str
    mode: int
    size: int
    sha256: str
    path_b64: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., path: _Optional[str] = ..., mode: _Optional[int] = ..., size: _Optional[int] = ..., sha256: _Optional[str] = ..., path_b64: _Optional[str] = ...) -> None: ...

class PutInput(_message.Message):
    __slots__ = ("start", "data")
    START_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    start: PutStart
    data: bytes
    def __init__(self, start: _Optional[_Union[PutStart, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class PutReply(_message.Message):
    __slots__ = ("path", "size", "sha256", "mode", "created")
    PATH_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    path: str
    size: int
    sha256: str
    mode: int
    created: bool
    def __init__(self, path: _Optional[str] = ..., size: _Optional[int] = ..., sha256: _Optional[str] = ..., mode: _Optional[int] = ..., created: _Optional[bool] = ...) -> None: ...

class GetRequest(_message.Message):
    __slots__ = ("owner", "session", "path", "offset", "size", "path_b64")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PATH_B64_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    path: str
    offset: int
    size: int
    path_b64: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., path: _Optional[str] = ..., offset: _Optional[int] = ..., size: _Optional[int] = ..., path_b64: _Optional[str] = ...) -> None: ...

class FileInfo(_message.Message):
    __slots__ = ("size", "sha256", "mode", "mtime", "total", "eof", "changed")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    EOF_FIELD_NUMBER: _ClassVar[int]
    CHANGED_FIELD_NUMBER: _ClassVar[int]
    size: int
    sha256: str
    mode: int
    mtime: float
    total: int
    eof: bool
    changed: bool
    def __init__(self, size: _Optional[int] = ..., sha256: _Optional[str] = ..., mode: _Optional[int] = ..., mtime: _Optional[float] = ..., total: _Optional[int] = ..., eof: _Optional[bool] = ..., changed: _Optional[bool] = ...) -> None: ...

class FileChunk(_message.Message):
    __slots__ = ("data", "end")
    DATA_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    end: FileInfo
    def __init__(self, data: _Optional[bytes] = ..., end: _Optional[_Union[FileInfo, _Mapping]] = ...) -> None: ...

class FileEntry(_message.Message):
    __slots__ = ("name", "path", "kind", "size", "mode", "mtime", "target", "name_b64")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    MTIME_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    NAME_B64_FIELD_NUMBER: _ClassVar[int]
    name: str
    path: str
    kind: str
    size: int
    mode: int
    mtime: float
    target: str
    name_b64: str
    def __init__(self, name: _Optional[str] = ..., path: _Optional[str] = ..., kind: _Optional[str] = ..., size: _Optional[int] = ..., mode: _Optional[int] = ..., mtime: _Optional[float] = ..., target: _Optional[str] = ..., name_b64: _Optional[str] = ...) -> None: ...

class ListFilesReply(_message.Message):
    __slots__ = ("path", "entries", "next")
    PATH_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    path: str
    entries: _containers.RepeatedCompositeFieldContainer[FileEntry]
    next: str
    def __init__(self, path: _Optional[str] = ..., entries: _Optional[_Iterable[_Union[FileEntry, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class MakeDirectoryRequest(_message.Message):
    __slots__ = ("owner", "session", "path", "parents", "mode", "path_b64")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PARENTS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    PATH_B64_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    path: str
    parents: bool
    mode: int
    path_b64: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., path: _Optional[str] = ..., parents: _Optional[bool] = ..., mode: _Optional[int] = ..., path_b64: _Optional[str] = ...) -> None: ...

class MoveRequest(_message.Message):
    __slots__ = ("owner", "session", "from_path", "to_path", "replace", "from_path_b64", "to_path_b64")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    FROM_PATH_FIELD_NUMBER: _ClassVar[int]
    TO_PATH_FIELD_NUMBER: _ClassVar[int]
    REPLACE_FIELD_NUMBER: _ClassVar[int]
    FROM_PATH_B64_FIELD_NUMBER: _ClassVar[int]
    TO_PATH_B64_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    from_path: str
    to_path: str
    replace: bool
    from_path_b64: str
    to_path_b64: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., from_path: _Optional[str] = ..., to_path: _Optional[str] = ..., replace: _Optional[bool] = ..., from_path_b64: _Optional[str] = ..., to_path_b64: _Optional[str] = ...) -> None: ...

class RemoveRequest(_message.Message):
    __slots__ = ("owner", "session", "path", "recursive", "path_b64")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    PATH_B64_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    path: str
    recursive: bool
    path_b64: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., path: _Optional[str] = ..., recursive: _Optional[bool] = ..., path_b64: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("owner", "session", "path", "recursive", "path_b64")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    RECURSIVE_FIELD_NUMBER: _ClassVar[int]
    PATH_B64_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    path: str
    recursive: bool
    path_b64: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., path: _Optional[str] = ..., recursive: _Optional[bool] = ..., path_b64: _Optional[str] = ...) -> None: ...

class WatchEvent(_message.Message):
    __slots__ = ("event", "path", "from_path", "kind", "path_b64")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    FROM_PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PATH_B64_FIELD_NUMBER: _ClassVar[int]
    event: str
    path: str
    from_path: str
    kind: str
    path_b64: str
    def __init__(self, event: _Optional[str] = ..., path: _Optional[str] = ..., from_path: _Optional[str] = ..., kind: _Optional[str] = ..., path_b64: _Optional[str] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("path", "kind", "type", "size", "metadata", "path_b64")
    PATH_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    PATH_B64_FIELD_NUMBER: _ClassVar[int]
    path: str
    kind: str
    type: str
    size: int
    metadata: bool
    path_b64: str
    def __init__(self, path: _Optional[str] = ..., kind: _Optional[str] = ..., type: _Optional[str] = ..., size: _Optional[int] = ..., metadata: _Optional[bool] = ..., path_b64: _Optional[str] = ...) -> None: ...

class DiffRequest(_message.Message):
    __slots__ = ("owner", "session", "next")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    next: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., next: _Optional[str] = ...) -> None: ...

class ExportRequest(_message.Message):
    __slots__ = ("owner", "session", "path", "path_b64", "changes", "attributes")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    PATH_B64_FIELD_NUMBER: _ClassVar[int]
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    path: str
    path_b64: str
    changes: bool
    attributes: bool
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., path: _Optional[str] = ..., path_b64: _Optional[str] = ..., changes: _Optional[bool] = ..., attributes: _Optional[bool] = ...) -> None: ...

class DiffReply(_message.Message):
    __slots__ = ("changes", "next")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    next: str
    def __init__(self, changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., next: _Optional[str] = ...) -> None: ...

class SnapshotRequest(_message.Message):
    __slots__ = ("owner", "session", "name")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    name: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class SnapshotInfo(_message.Message):
    __slots__ = ("name", "size", "created_at", "detail")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    name: str
    size: int
    created_at: str
    detail: _struct_pb2.Struct
    def __init__(self, name: _Optional[str] = ..., size: _Optional[int] = ..., created_at: _Optional[str] = ..., detail: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class SnapshotsRequest(_message.Message):
    __slots__ = ("owner", "session")
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ...) -> None: ...

class SnapshotsReply(_message.Message):
    __slots__ = ("snapshots",)
    SNAPSHOTS_FIELD_NUMBER: _ClassVar[int]
    snapshots: _containers.RepeatedCompositeFieldContainer[SnapshotInfo]
    def __init__(self, snapshots: _Optional[_Iterable[_Union[SnapshotInfo, _Mapping]]] = ...) -> None: ...

class ForkRequest(_message.Message):
    __slots__ = ("owner", "session", "snapshot", "to_session", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    TO_SESSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    owner: str
    session: str
    snapshot: str
    to_session: str
    labels: _containers.ScalarMap[str, str]
    def __init__(self, owner: _Optional[str] = ..., session: _Optional[str] = ..., snapshot: _Optional[str] = ..., to_session: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class UsageReply(_message.Message):
    __slots__ = ("cpu_ms", "memory", "memory_peak", "tasks", "detail")
    CPU_MS_FIELD_NUMBER: _ClassVar[int]
    MEMORY_FIELD_NUMBER: _ClassVar[int]
    MEMORY_PEAK_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    cpu_ms: float
    memory: int
    memory_peak: int
    tasks: int
    detail: _struct_pb2.Struct
    def __init__(self, cpu_ms: _Optional[float] = ..., memory: _Optional[int] = ..., memory_peak: _Optional[int] = ..., tasks: _Optional[int] = ..., detail: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class StatsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatsReply(_message.Message):
    __slots__ = ("active_sessions", "max_sessions")
    ACTIVE_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    MAX_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    active_sessions: int
    max_sessions: int
    def __init__(self, active_sessions: _Optional[int] = ..., max_sessions: _Optional[int] = ...) -> None: ...

class TemplatesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class TemplatesReply(_message.Message):
    __slots__ = ("templates",)
    TEMPLATES_FIELD_NUMBER: _ClassVar[int]
    templates: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Struct]
    def __init__(self, templates: _Optional[_Iterable[_Union[_struct_pb2.Struct, _Mapping]]] = ...) -> None: ...
