# The table and its filters.
c ps
up one
q create --name two busybox true
"$CLI" run --name three busybox sh -c 'exit 3'
c ps
c ps -a
s '$CLI ps -aq | wc -l'
s '$CLI ps -a --no-trunc --format "{{.ID}} {{.Command}}"'
c ps -n 2 --format '{{.Names}}'
c ps -l --format '{{.Names}}'
c ps -a --filter status=exited --format '{{.Names}} {{.Status}}'
c ps -a --filter name=t --format '{{.Names}}'
c ps -a --filter exited=3 --format '{{.Names}}'
c ps -a --filter status=created --format '{{.Names}}'
c ps -a --filter ancestor=busybox --format '{{.Names}}'
c ps -a --filter nonsense=1
c ps -a --format 'table {{.Names}}\t{{.Image}}\t{{.State}}'
c ps -a --filter name=one --format '{{json .Names}}'
