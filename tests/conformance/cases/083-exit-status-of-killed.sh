# Statuses recorded for containers that die in different ways.
q run -d --name k1 busybox sleep 100
q kill k1
q run -d --name k2 busybox sh -c 'trap "" TERM; sleep 100'
q stop -t 0 k2
q run --name k3 --rm=false busybox true
until_ok sh -c '[ "$("$CLI" inspect -f "{{.State.Running}}" k1)" = false ]'
c inspect -f '{{.State.ExitCode}} {{.State.Error}}' k1 k2 k3
c ps -a --format '{{.Names}} {{.Status}}'
s '$CLI run --memory 16m --name oom busybox sh -c "head -c 60000000 /dev/zero | tail" >/dev/null 2>&1'
c inspect -f '{{.State.OOMKilled}}' oom
