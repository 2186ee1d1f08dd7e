# A failed step leaves its container to be looked at and no tag; a good one leaves no container.
printf 'FROM busybox\nRUN echo ok\nRUN false\n' >Dockerfile
s '$CLI build -t bad . >/dev/null 2>&1'
c ps -aq
c images -q bad
printf 'FROM busybox\nRUN echo ok\n' >Dockerfile
q build -t good .
c ps -aq
s '$CLI images -q good | wc -l'
