# system df and prune of each kind.
q run --name done busybox true
q volume create v1
s '$CLI system df | cut -d " " -f 1,2 | sed "s/ *$//"'
c system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'
c container prune -f
q network create unused
c network prune -f
c volume prune -f
printf 'FROM busybox\nRUN echo x >/x\n' >Dockerfile
q build -t t1 .
printf 'FROM busybox\nRUN echo y >/y\n' >Dockerfile
q build -t t1 .
s '$CLI image prune -f | sed "s/sha256:.*/sha256:x/" | sort -u'
s 'echo n | $CLI container prune'
s '$CLI container prune -f --filter until=1h'
c volume prune -f
c network prune -f --filter nonsense=1
