# --link: variables in run and in exec, names; host names and aliases in DNS.
up db -e SECRET=1 -e FOO=a=b --expose 5432 --expose 53/udp
up web --link db:data --link db
s '$CLI exec web env | grep -e ^D | sort'
s '$CLI exec web sh -c "cat /etc/hosts" | grep -c -e data -e db'
s '$CLI run --rm --link db:data busybox env | grep -e ^DATA | sed s/NAME=.*/NAME/ | sort'
c inspect -f '{{json .HostConfig.Links}}' web
q rm -f db web
c run --rm --hostname a.b.c busybox sh -c 'tail -1 /etc/hosts | cut -f2'
q network create names
up one --network names --hostname uno --network-alias eins
up two --network names
s '$CLI exec two ping -c 1 -W 2 uno | grep -c "1 packets received"'
s '$CLI exec two ping -c 1 -W 2 eins | grep -c "1 packets received"'
s '$CLI exec two ping -c 1 -W 2 one.names | grep -c "1 packets received"'
c inspect -f '{{range .NetworkSettings.Networks}}{{json .Aliases}}{{end}}' one
