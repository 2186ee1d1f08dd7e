# Memory, CPU, pids, ulimits as the container and inspect see them.
q create --name box --memory 64m --memory-swap 128m --cpus 0.5 --cpu-shares 512 --pids-limit 50 busybox
c inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}}' box
c run --rm --ulimit nofile=64:128 busybox sh -c 'ulimit -Sn; ulimit -Hn'
c run --rm --ulimit core=0 busybox sh -c 'ulimit -c'
c run --rm --ulimit nonsense=1 busybox true
c run --rm --ulimit nofile=5:1 busybox true
c run --rm --memory 1k busybox true
c run --rm --memory nonsense busybox true
c run --rm --cpus nonsense busybox true
c run --rm --cpus 1000 busybox true
c run --rm --memory 64m --memory-swap 1m busybox true
c run --rm --pids-limit 3 busybox sh -c 'for i in 1 2 3 4 5; do sleep 1 & done; wait'
