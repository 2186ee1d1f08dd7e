# The pipelines of the tour.
"$CLI" run --name e1 busybox false
q run --name e2 busybox true
up stays
s '$CLI ps -a | grep Exit | cut -d " " -f 1 | xargs $CLI rm | wc -l'
c ps -a --format '{{.Names}}'
s '$CLI ps -q | xargs $CLI stop -t 1 | wc -l'
s '$CLI rm $($CLI ps -aq) | wc -l'
