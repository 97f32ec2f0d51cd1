"""seccomp: the Linux kernel refuses what outlives a process or reaches another one.

Processes, sockets, shared memory, keyrings, signals and limits of others, times and modes of files,
the machine's name and clock: a decoder could read there what an encoder left. A filter in classic
BPF (Drewry, 2012; man 2 seccomp), for x86-64 only. It binds the calling thread and its children.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Sequence

_X86_64 = 0xC000003E
_X32_CALLS = 0x40000000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
"""Where the kernel puts them for a filter."""
_LOAD, _EQUAL, _AT_LEAST, _HAS, _LEAVE = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW = 0x80000000, 0x7FFF0000
_REFUSE, _UNKNOWN = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS

DENIED = {
    "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "ptrace": 101,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "unshare": 272, "setns": 308,
    # sockets
    "socket": 41, "connect": 42, "socketpair": 53,
    # memory and messages that stay
    "shmget": 29, "shmat": 30, "shmctl": 31, "semget": 64, "semop": 65, "semctl": 66,
    "msgget": 68, "msgsnd": 69, "msgrcv": 70, "msgctl": 71, "mq_open": 240, "mq_unlink": 241,
    "add_key": 248, "request_key": 249, "keyctl": 250,
    # signals to others, and their limits
    "rt_sigqueueinfo": 129, "tkill": 200, "rt_tgsigqueueinfo": 297, "setpriority": 141,
    "sched_setparam": 142, "sched_setscheduler": 144, "ioprio_set": 251, "sched_setattr": 314,
    # marks on files, which Landlock lets pass
    "chmod": 90, "fchmod": 91, "chown": 92, "fchown": 93, "lchown": 94, "utime": 132,
    "setxattr": 188, "lsetxattr": 189, "fsetxattr": 190, "removexattr": 197,
    "lremovexattr": 198, "fremovexattr": 199, "utimes": 235, "fchownat": 260, "futimesat": 261,
    "fchmodat": 268, "utimensat": 280,
    # the machine: its name, clock, file systems and kernel
    "syslog": 103, "pivot_root": 155, "adjtimex": 159, "chroot": 161, "acct": 163,
    "settimeofday": 164, "mount": 165, "umount2": 166, "swapon": 167, "swapoff": 168,
    "reboot": 169, "sethostname": 170, "setdomainname": 171, "iopl": 172, "ioperm": 173,
    "init_module": 175, "delete_module": 176, "quotactl": 179, "clock_settime": 227,
    "kexec_load": 246, "perf_event_open": 298, "fanotify_init": 300, "open_by_handle_at": 304,
    "clock_adjtime": 305, "finit_module": 313, "kexec_file_load": 320, "bpf": 321,
    "userfaultfd": 323,
}  # fmt: skip
FIRST_NEW = 424
ALLOWED_NEW = {
    "openat2": 437, "faccessat2": 439, "epoll_pwait2": 441, "landlock_create_ruleset": 444,
    "landlock_add_rule": 445, "landlock_restrict_self": 446, "futex_waitv": 449,
}  # fmt: skip
"""Of the calls from 424 on, the kernel seems to have no others. glibc then falls back from clone3
to clone, whose flags a filter can see."""
OWN_ONLY = {"kill": 62, "tgkill": 234, "sched_setaffinity": 203, "prlimit64": 302}
"""Allowed on the process itself."""
MARKS = {
    "ioctl": (16, (0x40086602, 0x40046602, 0x40087602, 0x401C5820)),
    "fcntl": (72, (1036, 1038)),
}
"""Marks on files that are set through an open descriptor: FS_IOC_SETFLAGS, FS_IOC32_SETFLAGS,
FS_IOC_SETVERSION, FS_IOC_FSSETXATTR; F_SET_RW_HINT, F_SET_FILE_RW_HINT. Refused by their second
argument."""
CLONE, _CLONE_THREAD = 56, 0x10000
_NO_NEW_PRIVILEGES, _SET_SECCOMP, _FILTER = 38, 22, 2

_Code = list[tuple[int, int, int, int]]
"""Instructions: what to do, how many to skip if it holds and if not, and a value."""


def restrict() -> bool:
    """Refuses these calls to this process from now on; returns whether the kernel does so.

    Raises:
      OSError: If the kernel does not take the filter.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    code = b"".join(struct.pack("HBBI", *step) for step in _program(os.getpid()))
    buffer = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or libc.prctl(
        _SET_SECCOMP, _FILTER, ctypes.c_char_p(program)
    ):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
    return True


def _program(pid: int) -> _Code:
    code: _Code = [
        (_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, _X86_64), (_LEAVE, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER), (_AT_LEAST, 0, 1, _X32_CALLS), (_LEAVE, 0, 0, _REFUSE),
    ]  # fmt: skip
    for number in DENIED.values():
        code += [(_EQUAL, 0, 1, number), (_LEAVE, 0, 0, _REFUSE)]
    for number in ALLOWED_NEW.values():
        code += [(_EQUAL, 0, 1, number), (_LEAVE, 0, 0, _ALLOW)]
    code += [(_AT_LEAST, 0, 1, FIRST_NEW), (_LEAVE, 0, 0, _UNKNOWN)]
    for number in OWN_ONLY.values():
        code += _by_argument(number, _FIRST_ARGUMENT, (0, pid), _ALLOW, _REFUSE)
    for number, requests in MARKS.values():
        code += _by_argument(number, _SECOND_ARGUMENT, requests, _REFUSE, _ALLOW)
    code += [
        (_EQUAL, 0, 3, CLONE), (_LOAD, 0, 0, _FIRST_ARGUMENT), (_HAS, 1, 0, _CLONE_THREAD),
        (_LEAVE, 0, 0, _REFUSE), (_LEAVE, 0, 0, _ALLOW),
    ]  # fmt: skip
    return code


def _by_argument(number: int, where: int, values: Sequence[int], listed: int, other: int) -> _Code:
    """Returns code that leaves a call with `listed` if its argument is one of these, or `other`."""
    count = len(values)
    tests: _Code = [(_EQUAL, count - i, 0, value) for i, value in enumerate(values)]
    return [
        (_EQUAL, 0, count + 3, number), (_LOAD, 0, 0, where), *tests,
        (_LEAVE, 0, 0, other), (_LEAVE, 0, 0, listed),
    ]  # fmt: skip
