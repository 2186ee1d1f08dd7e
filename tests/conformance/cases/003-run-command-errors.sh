# 127: not there; 126: not executable; 125: the engine's own errors.
c run --rm busybox no-such-program
c run --rm busybox /etc/passwd
c run --rm busybox /etc
c run --rm busybox /no/such/path
c run --rm --no-such-flag busybox true
c run --rm
c ps -a
