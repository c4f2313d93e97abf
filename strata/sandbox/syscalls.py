# SPDX-License-Identifier: MIT
"""Which system calls a sandbox may make: groups of names, each with its reason. Data only, for seccomp.py.

Deny by default: a call that stands in no table is answered ENOSYS, as a kernel that does not know it would, so that
programs and C libraries fall back as they do on older kernels (syscalls(2), and seccomp_rule_add(3) on new calls).
"""

from __future__ import annotations

import errno
from typing import NamedTuple


class Group(NamedTuple):
    """System calls that share a fate, and why. Names that the machine's architecture lacks are passed over."""

    name: str
    reason: str
    calls: tuple[str, ...]


def _group(name: str, reason: str, calls: str) -> Group:
    return Group(name, reason, tuple(calls.split()))


ALLOWED = (
    _group(
        "memory",
        "a process's own address space; its size is the cgroup's business",
        "brk mmap munmap mprotect mremap madvise mincore msync mlock mlock2 mlockall munlock munlockall membarrier"
        " remap_file_pages pkey_alloc pkey_free pkey_mprotect memfd_create map_shadow_stack",
    ),
    _group(
        "process",
        "starting, ending and waiting for processes of the same pid namespace; clone has a rule below",
        "fork vfork execve execveat exit exit_group wait4 waitid kill tkill tgkill pidfd_open pidfd_send_signal"
        " rt_sigqueueinfo rt_tgsigqueueinfo arch_prctl prctl set_tid_address set_robust_list get_robust_list rseq"
        " getpid gettid getppid getpgid getpgrp getsid setpgid setsid restart_syscall uretprobe",
    ),
    _group(
        "identity",
        "ids and capabilities of the caller; nobody has a capability, so the kernel allows no step up",
        "getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid"
        " setresgid setfsuid setfsgid setgroups capget capset",
    ),
    _group(
        "confine",
        "a program may confine itself further; neither call ever widens (seccomp(2), landlock(7))",
        "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
    ),
    _group(
        "signals",
        "handlers and masks of the caller",
        "rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigreturn sigaltstack signalfd"
        " signalfd4 pause",
    ),
    _group(
        "descriptors",
        "reading, writing and waiting on what is open",
        "read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek close close_range dup dup2 dup3"
        " fcntl flock pipe pipe2 poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait"
        " epoll_pwait2 eventfd eventfd2 splice tee vmsplice sendfile copy_file_range",
    ),
    _group(
        "files",
        "names and contents in the session's own mount namespace; mknod makes FIFOs, devices need a capability",
        "open openat openat2 creat access faccessat faccessat2 stat lstat fstat newfstatat statx statfs fstatfs chdir"
        " fchdir getcwd getdents getdents64 mkdir mkdirat rmdir mknod mknodat link linkat symlink symlinkat readlink"
        " readlinkat unlink unlinkat rename renameat renameat2 truncate ftruncate fallocate chmod fchmod fchmodat"
        " fchmodat2 chown fchown lchown fchownat umask utime utimes futimesat utimensat fsync fdatasync"
        " sync_file_range fadvise64 readahead cachestat inotify_init inotify_init1 inotify_add_watch inotify_rm_watch",
    ),
    _group(
        "attributes",
        "extended attributes; the kernel keeps those that mean privilege to the privileged (xattr(7))",
        "getxattr lgetxattr fgetxattr setxattr lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr"
        " lremovexattr fremovexattr setxattrat getxattrat listxattrat removexattrat",
    ),
    _group(
        "sockets",
        "talking inside the session's network namespace; socket and socketpair have rules below",
        "bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt shutdown sendto recvfrom"
        " sendmsg recvmsg sendmmsg recvmmsg",
    ),
    _group(
        "ipc",
        "System V and POSIX queues, semaphores and shared memory of the session's IPC namespace",
        "shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink"
        " mq_timedsend mq_timedreceive mq_notify mq_getsetattr",
    ),
    _group(
        "time",
        "reading clocks and sleeping; no clock is set",
        "time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep times alarm getitimer setitimer"
        " timer_create timer_settime timer_gettime timer_getoverrun timer_delete timerfd_create timerfd_settime"
        " timerfd_gettime",
    ),
    _group(
        "threads",
        "locks between threads",
        "futex futex_waitv futex_wake futex_wait futex_requeue",
    ),
    _group(
        "scheduling",
        "priorities and limits of the session's own processes; a raise needs a capability",
        "sched_yield sched_getaffinity sched_setaffinity sched_getparam sched_setparam sched_getscheduler"
        " sched_setscheduler sched_getattr sched_setattr sched_get_priority_max sched_get_priority_min"
        " sched_rr_get_interval getpriority setpriority ioprio_get ioprio_set getrlimit setrlimit prlimit64 getrusage"
        " getcpu get_mempolicy set_mempolicy mbind",
    ),
    _group("system", "what anybody may read of the machine", "uname sysinfo getrandom"),
)

DENIED = (
    _group(
        "mounts",
        "the session's tree is made for it, and by it cannot be changed",
        "mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick move_mount open_tree open_tree_attr"
        " mount_setattr swapon swapoff quotactl quotactl_fd",
    ),
    _group("namespaces", "new ones open much of the kernel that only root reaches otherwise", "unshare setns"),
    _group(
        "tracing",
        "another process's memory or descriptors; the keepers of a session must be out of reach of a kernel bug too",
        "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp",
    ),
    _group(
        "handles",
        "files by handle go past every directory above them (open_by_handle_at(2))",
        "open_by_handle_at name_to_handle_at",
    ),
    _group("keyrings", "keys are not kept apart by any namespace that a session has", "keyctl add_key request_key"),
    _group(
        "kernel",
        "programs, events and modules of the kernel itself, a long list of past exploits",
        "bpf perf_event_open userfaultfd init_module finit_module delete_module create_module kexec_load"
        " kexec_file_load reboot syslog acct lookup_dcookie fanotify_init fanotify_mark nfsservctl vhangup",
    ),
    _group(
        "machine",
        "hardware, clock and names that all sessions share",
        "iopl ioperm modify_ldt settimeofday clock_settime clock_adjtime adjtimex sethostname setdomainname"
        " migrate_pages move_pages set_mempolicy_home_node",
    ),
)
"""Answered EPERM: calls that programs know and that must fail as they do for anybody without the right."""

HIDDEN = (
    _group("clone3", "its flags lie in memory, where no filter can look; C libraries then use clone", "clone3"),
    _group(
        "io_uring",
        "does what other calls do without making them, past this filter, and has a record of bugs",
        "io_uring_setup io_uring_enter io_uring_register",
    ),
    _group(
        "aio",
        "one number bounds the requests of all the machine (fs.aio-max-nr), and a session could take them all;"
        " databases do without",
        "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents",
    ),
    _group("secret memory", "pages that not even the machine's owner can look at", "memfd_secret"),
    _group(
        "old calls",
        "kept for programs of another age",
        "uselib ustat sysfs _sysctl afs_syscall tuxcall security vserver query_module get_kernel_syms getpmsg putpmsg"
        " get_thread_area set_thread_area epoll_ctl_old epoll_wait_old",
    ),
)
"""Answered ENOSYS, as every call that stands in no table; here by name because somebody will look for them."""

PRETENDED = (
    _group(
        "flushing",
        "they write out all that everybody on the machine, or on the disk of /usr, has not written yet, at the expense"
        " of all who wait for it; a session's disk does not outlive the machine's uptime (layers/image.py)",
        "sync syncfs",
    ),
)
"""Answered success without being made, because programs take it for granted (sync(2) cannot fail)."""

# Calls newer than some libseccomp in use. From 424 on all architectures number alike (asm-generic/unistd.h).
NEWER = {
    "futex_waitv": 449,
    "set_mempolicy_home_node": 450,
    "cachestat": 451,
    "fchmodat2": 452,
    "map_shadow_stack": 453,
    "futex_wake": 454,
    "futex_wait": 455,
    "futex_requeue": 456,
    "setxattrat": 463,
    "getxattrat": 464,
    "listxattrat": 465,
    "removexattrat": 466,
    "open_tree_attr": 467,
}
ONLY_ON = {"uretprobe": ("x86_64", 335)}
"""A call newer than some libseccomp that one architecture alone has, and its number there."""


class Argument(NamedTuple):
    """One look at the low 32 bits of an argument, which is all that the kernel reads of an int: one of these values."""

    position: int
    mask: int
    values: tuple[int, ...]


class Case(NamedTuple):
    """When every argument holds, this is the answer: ALLOW, PRETEND or an errno."""

    arguments: tuple[Argument, ...]
    answer: int


class Rule(NamedTuple):
    """A call that its arguments decide: the first case that holds, else `otherwise`."""

    call: str
    reason: str
    cases: tuple[Case, ...]
    otherwise: int


ALLOW, PRETEND = 0, -1
WORD = 0xFFFF_FFFF
# <linux/sched.h>: CLONE_NEWNS NEWCGROUP NEWUTS NEWIPC NEWUSER NEWPID NEWNET. CLONE_NEWTIME is no flag of clone(2).
CLONE_NEW = 0x0002_0000 | 0x0200_0000 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x2000_0000 | 0x4000_0000
CLONE_PARENT = 0x8000
# <linux/socket.h>, <linux/netlink.h>
UNIX, INET, INET6, NETLINK = 1, 2, 10, 16
NETLINK_ROUTE = 0
# <asm-generic/ioctls.h>
TIOCSTI, TIOCLINUX, TIOCSETD = 0x5412, 0x541C, 0x5423
# <linux/btrfs.h>: syncfs(2) by another name, on any descriptor and for anybody, where /usr is on a btrfs.
BTRFS_IOC_SYNC, BTRFS_IOC_START_SYNC = 0x9408, 0x8008_9418
# <linux/personality.h>: Linux, 32-bit addresses, "kernel 2.6", both, and the question which it is.
PERSONALITIES = (0x0, 0x8, 0x2_0000, 0x2_0008, WORD)

_FAMILY = 0
_FROM_NETLINK = Argument(_FAMILY, WORD, (NETLINK,))

RULES = (
    Rule(
        "clone",
        "threads and processes, but no namespaces, and no children of who started the command: that is Strata",
        (Case((Argument(0, CLONE_NEW | CLONE_PARENT, (0,)),), ALLOW),),
        otherwise=errno.EPERM,
    ),
    Rule(
        "socket",
        "what ordinary programs use, of netlink only what getifaddrs(3) asks; AF_VSOCK reaches the"
        " hypervisor, AF_PACKET, AF_ALG and many others seldom used code of the kernel",
        (
            Case((Argument(_FAMILY, WORD, (UNIX, INET, INET6)),), ALLOW),
            Case((_FROM_NETLINK, Argument(2, WORD, (NETLINK_ROUTE,))), ALLOW),
            Case((_FROM_NETLINK,), errno.EPROTONOSUPPORT),
        ),
        otherwise=errno.EAFNOSUPPORT,
    ),
    Rule(
        "socketpair",
        "pairs of unix sockets only",
        (Case((Argument(_FAMILY, WORD, (UNIX,)),), ALLOW),),
        otherwise=errno.EAFNOSUPPORT,
    ),
    Rule(
        "ioctl",
        "no typing into a terminal (TIOCSTI, and the paste of TIOCLINUX), no other line disciplines (TIOCSETD),"
        " no flushing of all of a btrfs",
        (
            Case((Argument(1, WORD, (TIOCSTI, TIOCLINUX, TIOCSETD)),), errno.EPERM),
            Case((Argument(1, WORD, (BTRFS_IOC_SYNC, BTRFS_IOC_START_SYNC)),), PRETEND),
        ),
        otherwise=ALLOW,
    ),
    Rule(
        "personality",
        "values that mean nothing for safety; others switch off address randomisation or make data executable",
        (Case((Argument(0, WORD, PERSONALITIES),), ALLOW),),
        otherwise=errno.EPERM,
    ),
)
