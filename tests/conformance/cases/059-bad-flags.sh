# What the client itself refuses.
c run
c run --publish
c run --nosuch busybox
c nosuchcommand
c ps extra
c stop
c run --memory busybox
c inspect
c exec
c logs
c logs one two
c tag one
c run --name a --name b --rm busybox true
c -x
c container nosuch
