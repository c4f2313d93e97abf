# SPDX-License-Identifier: MIT
"""systemd.exec(5): the environment that a process is started in."""

from __future__ import annotations

from strata.units import encode_exec as encode
from strata.units import encode_mount as mount
from strata.units import kernel
from strata.units.encode_exec import strings
from strata.units.rows import Row, each, each_as, family, merged, one, one_as
from strata.values import Integer, boolean, microseconds, mode, nanoseconds, unsigned32

EXEC: tuple[Row, ...] = (
    # directive, signature, reader, sample
    # Paths
    one("WorkingDirectory", "s", str, "-/no/such/directory"),
    one("RootDirectory", "s", str, "/"),
    one("RootImage", "s", str, "/no/such/image"),
    each("RootImageOptions", "a(ss)", mount.image_options, "root:ro,noatime home:nodev"),
    one("RootEphemeral", "b", boolean, "yes", since=254),
    one_as("RootHash", mount.root_hash, "00112233445566778899aabbccddeeff"),
    one_as("RootHashSignature", mount.root_hash_signature, "base64:c2lnbmF0dXJl"),
    one("RootVerity", "s", str, "/no/such/verity"),
    *family(one, "RootImagePolicy MountImagePolicy ExtensionImagePolicy", "s", str, "root=verity", since=254),
    one("MountAPIVFS", "b", boolean, "yes"),
    one("ProtectProc", "s", str, "invisible"),
    one("ProcSubset", "s", str, "pid"),
    *family(each, "BindPaths BindReadOnlyPaths", "a(ssbt)", mount.binds, "-/tmp:/mnt:norbind /srv"),
    each("MountImages", "a(ssba(ss))", mount.mount_images, "-/no/image:/mnt:root:ro"),
    each("ExtensionImages", "a(sba(ss))", mount.extension_images, "-/no/image:nosuid"),
    each("ExtensionDirectories", "as", strings, "-/no/such/directory"),
    one("BindLogSockets", "b", boolean, "yes", since=257),
    # User and identity
    *family(one, "User Group", "s", str, "nobody"),
    one("DynamicUser", "b", boolean, "yes"),
    each("SupplementaryGroups", "as", strings, "adm"),
    one("SetLoginEnvironment", "b", boolean, "yes", since=255),
    one("PAMName", "s", str, "login"),
    # Capabilities
    merged("CapabilityBoundingSet", "t", encode.capability_set(2**64 - 1), "CAP_CHOWN cap_kill"),
    merged("AmbientCapabilities", "t", encode.capability_set(0), "CAP_NET_BIND_SERVICE"),
    # Security
    one("NoNewPrivileges", "b", boolean, "yes"),
    merged("SecureBits", "i", encode.secure_bits, "noroot noroot-locked"),
    # Mandatory access control
    one("SELinuxContext", "s", str, "-system_u:system_r:none_t"),
    *family(one, "AppArmorProfile SmackProcessLabel", "(bs)", encode.nullable, "-none"),
    # Process properties
    *(
        one_as(f"Limit{name}", encode.limit(f"Limit{name}"), sample)
        for name, sample in {
            "CPU": "10min",
            "FSIZE": "1G:2G",
            "DATA": "1G",
            "STACK": "8M",
            "CORE": "0",
            "RSS": "1G",
            "NOFILE": "1024:4096",
            "AS": "infinity",
            "NPROC": "512",
            "MEMLOCK": "64K",
            "LOCKS": "100",
            "SIGPENDING": "100",
            "MSGQUEUE": "800K",
            "NICE": "-5",
            "RTPRIO": "10",
            "RTTIME": "2s",
        }.items()
    ),
    one("UMask", "u", mode, "0027"),
    one("CoredumpFilter", "t", kernel.core_filter, "default private-huge"),
    one("KeyringMode", "s", str, "private"),
    one("OOMScoreAdjust", "i", Integer(-1000, 1000, "a score"), "-100"),
    one("TimerSlackNSec", "t", nanoseconds, "200us"),
    one("Personality", "s", str, "x86-64"),
    one("IgnoreSIGPIPE", "b", boolean, "no"),
    one("MemoryKSM", "b", boolean, "yes", since=254),
    # Scheduling
    one("Nice", "i", Integer(-20, 19, "a nice level"), "5"),
    one("CPUSchedulingPolicy", "i", kernel.named(kernel.CPU_POLICIES), "batch"),
    one("CPUSchedulingPriority", "i", Integer(0, 99, "a priority"), "0"),
    one("CPUSchedulingResetOnFork", "b", boolean, "yes"),
    each_as("CPUAffinity", encode.affinity, "0-1"),
    one("NUMAPolicy", "i", kernel.named(kernel.NUMA_POLICIES), "local"),
    each("NUMAMask", "ay", encode.numa_mask, "0"),
    one("IOSchedulingClass", "i", kernel.named(kernel.IO_CLASSES, Integer(0, 3, "a class")), "best-effort"),
    one("IOSchedulingPriority", "i", Integer(0, 7, "a priority"), "5"),
    # Sandboxing
    one("ProtectSystem", "s", str, "strict"),
    one("ProtectHome", "s", str, "read-only"),
    *(
        each_as(name, mount.directories(name), "sample:link sample-2")
        for name in ("RuntimeDirectory", "StateDirectory", "CacheDirectory", "LogsDirectory")
    ),
    each("ConfigurationDirectory", "as", strings, "sample"),
    *family(
        one,
        "RuntimeDirectoryMode StateDirectoryMode CacheDirectoryMode LogsDirectoryMode ConfigurationDirectoryMode",
        "u",
        mode,
        "0750",
    ),
    one("RuntimeDirectoryPreserve", "s", str, "restart"),
    *family(
        each, "ReadWritePaths ReadOnlyPaths InaccessiblePaths ExecPaths NoExecPaths", "as", strings, "-/no/such /tmp"
    ),
    # Names of ReadWritePaths= and its like before v231, still taken.
    *(
        each(f"{old}Directories", "as", strings, "-/no/such", bus=f"{old}Paths")
        for old in ("ReadWrite", "ReadOnly", "Inaccessible")
    ),
    each("ExecSearchPath", "as", lambda value: value.split(":"), "/usr/local/bin:/usr/bin"),
    each("TemporaryFileSystem", "a(ss)", mount.file_systems, "/mnt:size=10%,mode=0700 /media"),
    *family(
        one,
        "PrivateTmp PrivateDevices PrivateNetwork PrivateIPC PrivateUsers PrivateMounts ProtectHostname ProtectClock "
        "ProtectKernelTunables ProtectKernelModules ProtectKernelLogs ProtectControlGroups LockPersonality "
        "MemoryDenyWriteExecute RestrictRealtime RestrictSUIDSGID RemoveIPC",
        "b",
        boolean,
        "yes",
    ),
    one("PrivatePIDs", "s", str, "yes", since=257),
    *family(one, "NetworkNamespacePath IPCNamespacePath", "s", str, "/proc/1/ns/no-such"),
    each("RestrictAddressFamilies", "(bas)", encode.families, "AF_UNIX AF_INET"),
    each("RestrictFileSystems", "(bas)", encode.selection, "ext4 tmpfs"),
    merged("RestrictNamespaces", "t", encode.namespaces, "~user mnt"),
    one("MountFlags", "t", kernel.named(kernel.PROPAGATION), "slave"),
    # System call filtering
    each("SystemCallFilter", "(bas)", encode.selection, "~@clock @reboot"),
    one("SystemCallErrorNumber", "i", kernel.error_number, "EPERM"),
    each("SystemCallArchitectures", "as", strings, "native"),
    each("SystemCallLog", "(bas)", encode.selection, "@clock"),
    # Environment
    each("Environment", "as", encode.assignments, '"A=with space" B=\\x41'),
    each("EnvironmentFile", "a(sb)", encode.environment_file, "-/no/such/file", bus="EnvironmentFiles"),
    each("PassEnvironment", "as", strings, "HOME TERM"),
    each("UnsetEnvironment", "as", strings, "LANG"),
    # Logging and standard input/output
    one_as("StandardInput", encode.stream("StandardInput", reading=True), "null"),
    one_as("StandardOutput", encode.stream("StandardOutput", reading=False), "append:/dev/null"),
    one_as("StandardError", encode.stream("StandardError", reading=False), "journal"),
    each("StandardInputText", "ay", encode.input_text, "a line\\x21", bus="StandardInputData"),
    each("StandardInputData", "ay", encode.decode64, "aGVsbG8="),
    *family(one, "SyslogLevel LogLevelMax", "i", kernel.named(kernel.LOG_LEVELS, Integer(0, 7, "a level")), "notice"),
    one("SyslogFacility", "i", kernel.named(kernel.LOG_FACILITIES, Integer(0, 23, "a facility")), "local3"),
    one("SyslogIdentifier", "s", str, "sample"),
    one("SyslogLevelPrefix", "b", boolean, "no"),
    each("LogExtraFields", "aay", lambda value: [value.encode()], "SAMPLE=a value of %p"),
    each("LogFilterPatterns", "a(bs)", encode.log_pattern, "~noise", since=253),
    one("LogRateLimitIntervalSec", "t", microseconds, "13s", bus="LogRateLimitIntervalUSec"),
    one("LogRateLimitBurst", "u", unsigned32, "77"),
    one("LogNamespace", "s", str, "sample"),
    one("TTYPath", "s", str, "/dev/tty7"),
    *family(one, "TTYReset TTYVHangup TTYVTDisallocate", "b", boolean, "yes"),
    *family(one, "TTYRows TTYColumns", "u", unsigned32, "40"),
    # Credentials
    *family(each, "LoadCredential LoadCredentialEncrypted", "a(ss)", encode.load_credential, "name:/etc/hostname"),
    each("SetCredential", "a(say)", encode.set_credential, "name:a\\x20value\\n"),
    each("SetCredentialEncrypted", "a(say)", encode.set_credential_encrypted, "name:c2VjcmV0"),
    each("ImportCredential", "as", lambda value: [value], "sample.*", since=254),
    # System V compatibility
    one("UtmpIdentifier", "s", str, "st"),
    one("UtmpMode", "s", str, "user"),
    one("NonBlocking", "b", boolean, "yes"),
)
