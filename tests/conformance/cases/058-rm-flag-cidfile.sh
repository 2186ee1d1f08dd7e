# --rm, --cidfile, -d.
c run --rm --name gone busybox true
c inspect gone
s '$CLI run --cidfile id busybox true; wc -c <id'
c run --cidfile id busybox true
s '$CLI run -d --name bg busybox sleep 100 | wc -c'
s '$CLI run -d --rm --name auto busybox true >/dev/null; for i in 1 2 3 4 5 6 7 8 9; do $CLI inspect auto >/dev/null 2>&1 || break; sleep 0.3; done; $CLI inspect auto'
c run -d --rm --name x1 busybox no-such-program
c ps -a --filter name=x1 -q
