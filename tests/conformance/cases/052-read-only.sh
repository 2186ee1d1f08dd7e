# --read-only, with and without something to write to.
c run --rm --read-only busybox touch /x
c run --rm --read-only --tmpfs /run busybox touch /run/x
c run --rm --read-only -v v:/data busybox touch /data/x
c run --rm --read-only busybox sh -c 'echo "# x" >>/etc/hosts && tail -1 /etc/hosts'
q create --name ro --read-only busybox
c inspect -f '{{.HostConfig.ReadonlyRootfs}}' ro
