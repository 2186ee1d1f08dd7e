# Labels, label files, filters by label.
printf 'from=file\nempty=\n' >labels
q create --name one --label a=1 --label b busybox
q create --name two --label-file labels busybox
c inspect -f '{{json .Config.Labels}}' one
c inspect -f '{{json .Config.Labels}}' two
c ps -a --filter label=a --format '{{.Names}} {{.Labels}}'
c ps -a --filter label=from=file --format '{{.Names}} {{.Label "from"}}'
c ps -a --filter label=a=2 --format '{{.Names}}'
