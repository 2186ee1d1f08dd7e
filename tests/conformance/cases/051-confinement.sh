# Namespaces, masked and read-only paths, seccomp, devices, descriptors.
c run --rm busybox sh -c 'echo $$'
c run --rm busybox ls /proc/self/fd
c run --rm busybox grep -E 'Seccomp:|NoNewPrivs' /proc/self/status
c run --rm busybox unshare -m true
c run --rm busybox mount -t tmpfs x /mnt
c run --rm busybox sh -c 'echo 1 >/proc/sys/kernel/sysrq'
c run --rm busybox sh -c 'echo 1 >/proc/sysrq-trigger'
c run --rm busybox sh -c 'wc -c </proc/kcore'
c run --rm busybox sh -c 'ls /proc/acpi /proc/scsi /sys/firmware 2>&1'
c run --rm busybox sh -c 'mknod /tmp/x b 8 0 && cat /tmp/x'
c run --rm busybox sh -c 'ls /dev'
c run --rm busybox sh -c 'echo x >/dev/null; head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c'
c run --rm busybox sh -c 'date -s 2001-01-01 >/dev/null'
c run --rm busybox cat /proc/self/attr/current
c run --rm --security-opt no-new-privileges busybox grep NoNewPrivs /proc/self/status
c run --rm --security-opt seccomp=unconfined busybox grep Seccomp: /proc/self/status
c run --rm --security-opt nonsense busybox true
c run --rm --security-opt seccomp=/no/such/file busybox true
