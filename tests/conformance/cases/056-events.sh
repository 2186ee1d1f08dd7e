# events of one container, and filters.
sleep 1.1
since=$(date +%s)
q run --name box --label l=1 busybox true
q rm box
sleep 1
export SINCE=$since
s "\$CLI events --since \$SINCE --until \$(date +%s) --filter type=container --filter label=l --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'"
s "\$CLI events --since \$SINCE --until \$(date +%s) --filter event=die --format '{{.Status}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.image}}'"
c events --filter nonsense=1 --until 1
