# The status of the container's process is the status of run.
c run --rm busybox true
c run --rm busybox false
c run --rm busybox sh -c 'exit 42'
c run --rm busybox sh -c 'kill -9 $$'
c run --rm busybox sh -c 'kill -TERM $$; echo still here'
c run --name last busybox sh -c 'exit 7'
c inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Running}} {{.State.Pid}}' last
