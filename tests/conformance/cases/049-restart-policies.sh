# --restart: counts, no, on-failure, always; --rm excludes it.
q run -d --name fails --restart on-failure:2 busybox sh -c 'echo try; exit 3'
until_ok sh -c '[ "$("$CLI" inspect -f "{{.RestartCount}} {{.State.Status}}" fails)" = "2 exited" ]'
c logs fails
c inspect -f '{{.RestartCount}} {{.State.ExitCode}} {{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' fails
q run -d --name fine --restart on-failure busybox true
c wait fine
c inspect -f '{{.RestartCount}} {{.State.Status}}' fine
q run -d --name always --restart always busybox sh -c 'sleep 0.3'
until_ok sh -c '[ "$("$CLI" inspect -f "{{.RestartCount}}" always)" -ge 1 ]'
c stop -t 1 always
c inspect -f '{{.State.Status}} {{.State.Restarting}}' always
c run --rm --restart always busybox true
c run -d --restart nonsense busybox true
c run -d --restart always:3 busybox true
c run -d --restart on-failure:x busybox true
c update --restart no always
c inspect -f '{{.HostConfig.RestartPolicy.Name}}' always
