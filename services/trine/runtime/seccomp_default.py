"""Our default seccomp profile, in Docker's profile format: what a container may call when nothing is asked.

At least as strict as the default of Docker 20.10 (default EPERM; namespaces, mounts, modules, keys,
clocks only with the capability that guards them; clone3 answers ENOSYS so that libc falls back to
clone, whose flags a filter can see). Stricter in two points later Dockers have as well: no
io_uring_* (it goes round the filter), and no AF_VSOCK sockets (they leave every network namespace).
Never wider but for bpf and perf_event_open with CAP_BPF and CAP_PERFMON, which 20.10 does not know: calls
newer than its profile answer ENOSYS and libc falls back (tests/hardening/test_seccomp_docker.py compares).
"""

from __future__ import annotations

from typing import Any

_ENOSYS = 38
_NAMESPACE_FLAGS = 0x7E020000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}
_AF_VSOCK = 40

_FILES = """
access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchown fchown32 fchownat fcntl
fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64
fsync ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr ioctl lchown lchown32
lgetxattr link linkat listxattr llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64
mkdir mkdirat mknod mknodat newfstatat open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2
read readahead readlink readlinkat readv removexattr rename renameat renameat2 rmdir sendfile
sendfile64 setxattr splice stat stat64 statfs statfs64 statx symlink symlinkat sync sync_file_range
syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes vmsplice write
writev inotify_add_watch inotify_init inotify_init1 inotify_rm_watch
"""
_POLLING = """
epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd
eventfd2 io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit _newselect
pipe pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select signalfd signalfd4 timerfd_create
timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
"""
_PROCESSES = """
capget capset execve execveat exit exit_group fork get_robust_list get_thread_area getegid getegid32 geteuid
geteuid32 getgid getgid32 getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid
getresgid32 getresuid getresuid32 getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kill
landlock_add_rule landlock_create_ruleset landlock_restrict_self pause pidfd_open pidfd_send_signal prctl
prlimit64 process_mrelease restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo
rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sched_get_priority_max
sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsgid32
setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid
setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sigaltstack
sigprocmask sigreturn tgkill tkill ugetrlimit vfork wait4 waitid waitpid
"""
_MEMORY = """
brk madvise membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
mprotect mremap msync munlock munlockall munmap remap_file_pages
"""
_IPC = """
futex futex_time64 futex_waitv ipc mq_getsetattr mq_notify mq_open
mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd
semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget
"""
_SOCKETS = """
accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64
recvmsg send sendmmsg sendmsg sendto setsockopt shutdown socketcall socketpair
"""
_TIME = """
adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 getcpu getitimer getrandom gettimeofday nanosleep setitimer sysinfo
time timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
times uname
"""
_MOUNTS_AND_NAMESPACES = """
bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr move_mount
name_to_handle_at open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount
umount2 unshare
"""


def _allow(names: str, **more: Any) -> dict[str, Any]:
    return {"names": names.split(), "action": "SCMP_ACT_ALLOW", **more}


def _with(capability: str, names: str) -> dict[str, Any]:
    return _allow(names, includes={"caps": [capability]})


def _equal(index: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": "SCMP_CMP_EQ"}


PROFILE: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [
        {
            "architecture": "SCMP_ARCH_X86_64",
            "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        },
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ],
    "syscalls": [
        _allow(_FILES + _POLLING + _PROCESSES + _MEMORY + _IPC + _SOCKETS + _TIME),
        _allow(
            "socket",
            args=[{"index": 0, "value": _AF_VSOCK, "op": "SCMP_CMP_NE"}],
        ),
        # Before 4.8 ptrace could change a call after the filter had seen it.
        _allow("ptrace", includes={"minKernel": "4.8"}),
        *(
            _allow("personality", args=[_equal(0, persona)])
            for persona in (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
        ),
        _allow("arch_prctl", includes={"arches": ["amd64", "x32"]}),
        _allow("modify_ldt", includes={"arches": ["amd64", "x32", "x86"]}),
        _allow(
            "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
            includes={"arches": ["arm", "arm64"]},
        ),
        _allow(
            "clone",
            args=[
                {
                    "index": 0,
                    "value": _NAMESPACE_FLAGS,
                    "valueTwo": 0,
                    "op": "SCMP_CMP_MASKED_EQ",
                }
            ],
            excludes={"caps": ["CAP_SYS_ADMIN"]},
        ),
        {
            "names": ["clone3"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": _ENOSYS,
            "excludes": {"caps": ["CAP_SYS_ADMIN"]},
        },
        _with("CAP_SYS_ADMIN", _MOUNTS_AND_NAMESPACES),
        _with("CAP_DAC_READ_SEARCH", "open_by_handle_at"),
        _with("CAP_SYS_BOOT", "reboot"),
        _with("CAP_SYS_CHROOT", "chroot"),
        _with("CAP_SYS_MODULE", "delete_module init_module finit_module"),
        _with("CAP_SYS_PACCT", "acct"),
        _with("CAP_SYS_PTRACE", "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace"),
        _with("CAP_SYS_RAWIO", "iopl ioperm"),
        _with("CAP_SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
        _with("CAP_SYS_TTY_CONFIG", "vhangup"),
        _with("CAP_SYS_NICE", "get_mempolicy mbind set_mempolicy"),
        _with("CAP_SYSLOG", "syslog"),
        _with("CAP_BPF", "bpf"),
        _with("CAP_PERFMON", "perf_event_open"),
    ],
}
