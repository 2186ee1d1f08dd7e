# host, none, container:X.
s '$CLI run --rm --network none busybox ip -o addr | grep -c eth'
s '$CLI run --rm --network host busybox ip -o link | grep -c " lo:"'
up first
s '$CLI run --rm --network container:first busybox hostname | wc -c'
s 'a=$($CLI exec first ip -o -4 addr show eth0); b=$($CLI run --rm --network container:first busybox ip -o -4 addr show eth0); [ "$a" = "$b" ] && echo same'
c run --rm --network container:nobody busybox true
c run --rm --network container:first -p 80:80 busybox true
c run --rm --network container:first -h other busybox true
c run --rm --network host -h other busybox hostname
c inspect -f '{{.HostConfig.NetworkMode}}' first
q create --name off busybox
c run --rm --network container:off busybox true
