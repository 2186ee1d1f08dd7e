up limited -m 50m
show_limits() {
    c exec limited sh -c 'cd /sys/fs/cgroup && cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes \
        cpu/cpu.shares cpu/cpu.cfs_quota_us cpuset/cpuset.cpus pids/pids.max'
    c inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}' limited
}
for option in "-m 60m" "-m 200m" "--memory-swap 400m" "-m 200m" "-m 30m --memory-swap 30m" "-m 5m" "--cpus 1.5" \
    "--cpu-quota 50000" "--cpu-shares 100" "--pids-limit 77" "--cpuset-cpus 0"; do
    s "\$CLI update $option limited"
    show_limits
done
c run --rm -m 20m --memory-swap 20m busybox dd if=/dev/zero of=/dev/null bs=60M count=1
q run -d --name eater -m 20m --memory-swap 20m busybox dd if=/dev/zero of=/dev/null bs=60M count=1
c wait eater
c inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}} {{.State.Error}}' eater
c run --rm --pids-limit 8 busybox sh -c 'for i in 1 2 3 4 5 6 7 8 9; do sleep 1 & done 2>&1; wait'
