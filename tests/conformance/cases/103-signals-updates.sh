# Texts and streams of stop, kill, update, top, port, logs and exec where they are refused or warn.
up a1
c stop --time 1 a1
c start a1
c kill -s 99 a1
c kill -s 0 a1
c kill -s FOO a1
c rename a1 'bad name'
c top a1 foo
c port a1 foo
c logs --since foo a1
c exec --detach-keys foo a1 true
c exec a1 ""
c update --memory 64m a1
c update --memory 128m --memory-swap -1 a1
c update --memory 64m a1
c update --cpus 1 a1
c update --cpu-period 50000 a1
c update --kernel-memory 50m a1
c update --blkio-weight 100 a1
c update --cpuset-cpus x a1
c inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.BlkioWeight}}' a1
q create --name h1 --health-cmd true busybox true
c inspect -f '{{.State.Health}} {{json .State.Health}}' h1
c ps -a --filter health=starting
q run -d --rm --name rmm busybox sleep 1000
c update --restart always rmm
c stop -t 0 --signal KILL rmm
