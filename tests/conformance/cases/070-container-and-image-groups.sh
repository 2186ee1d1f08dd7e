# The long names are the same commands.
q container create --name box busybox true
c container start box
c container wait box
c container ls -a --format '{{.Names}}'
c container inspect -f '{{.Name}}' box
c container logs box
c container rm box
c image ls --format '{{.Repository}}' busybox
c image inspect -f '{{.Os}} {{.Architecture}}' busybox
c image tag busybox again:1
c image rm again:1
c image inspect nosuch
