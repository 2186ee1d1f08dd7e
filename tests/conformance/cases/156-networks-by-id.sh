# Networks by id; what ps, inspect and events say of them.
q network create --subnet 10.156.0.0/24 nn
id=$("$CLI" network inspect -f '{{.Id}}' nn)
export id
s '$CLI run --rm --network $id busybox ip -4 -o addr show eth0 | grep -c 10.156'
s '$CLI run --rm --network ${id:0:12} busybox ip -4 -o addr show eth0 | grep -c 10.156'
up box --network $id
c inspect -f '{{.HostConfig.NetworkMode}}' box
s '$CLI inspect -f "{{range \$k,\$v := .NetworkSettings.Networks}}{{\$k}} {{end}}" box'
c ps --filter network=nn --format '{{.Names}} {{.Networks}}'
c ps --filter network=bridge --format '{{.Names}}'
c inspect --type container nn
c network disconnect $id box
c network connect ${id:0:12} box
q restart -t 0 box
s '$CLI exec box ip -4 -o addr show eth0 | grep -c 10.156'
q rename box newbox
c network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}' nn
q rm -f newbox
sleep 1.1
since=$(date +%s)
export since
sleep 1.1
q network create ev
up evbox --network ev
q network connect bridge evbox
q network disconnect bridge evbox
q rm -f evbox
q network rm ev
sleep 1.1
s '$CLI events --since $since --until $(date +%s) --filter type=network --format "{{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.type}}" | uniq' # Docker tells a disconnect twice
