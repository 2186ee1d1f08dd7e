# Mounts of volumes are events; prune leaves volumes with options; what health says at the end; unknown words.
q volume create --opt type=tmpfs --opt device=tmpfs --opt o=size=1m kept
c run --rm -v kept:/x busybox sh -c 'grep " /x " /proc/mounts'
q run --name a1 -v vol106:/d:ro busybox true
sleep 1.2 # Docker cuts --until at whole seconds
s '$CLI events --since 1h --until 0s --filter volume=vol106 --format "{{.Action}} {{.Actor.ID}} {{.Actor.Attributes.destination}}"'
q rm a1
c volume prune -f
c volume ls -q
"$CLI" run --name r1 --restart on-failure:2 busybox sh -c 'exit 3' # fails on purpose: not by q
until_ok sh -c '[ "$($CLI inspect -f "{{.State.Status}}" r1)" = exited ]'
c inspect -f '{{.RestartCount}} {{.State.ExitCode}} {{.State.Status}} {{.HostConfig.RestartPolicy}}' r1
q run -d --name h1 --health-cmd 'echo out; exit 1' --health-interval 200ms --health-retries 2 busybox sleep 1000
until_ok sh -c '$CLI ps | grep "(unhealthy)"'
s '$CLI inspect -f "{{.State.Health.Status}} {{(index .State.Health.Log 0).ExitCode}} {{(index .State.Health.Log 0).Output}}" h1'
q stop -t 0 h1
c inspect -f '{{.State.Health.Status}} {{.State.Status}}' h1
q run --name h2 --health-cmd true busybox true
c inspect -f '{{.State.Health.Status}} {{.State.Status}}' h2
c ps -a --filter health=unhealthy --format '{{.Names}}'
c volume foo
c container foo
c help ps x
