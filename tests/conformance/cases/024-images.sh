# images, tag and their filters.
s '$CLI images | head -1'
q tag busybox local/one:v1
q tag busybox local/one:v2
c images local/one --format '{{.Repository}} {{.Tag}}'
c images 'local/*' --format '{{.Repository}}:{{.Tag}}'
c images local/one:v1 --format '{{.Tag}}'
s '$CLI images -q | sort -u | wc -l'
s '$CLI images --no-trunc -q busybox'
c images --filter reference='local/*:v2' --format '{{.Repository}}:{{.Tag}}'
c images --filter nonsense=1
c images --digests --format '{{.Repository}} {{.Digest}}' busybox
c images nothing
c tag nosuch new
c tag busybox UPPER
c tag busybox 'bad tag'
c tag busybox
