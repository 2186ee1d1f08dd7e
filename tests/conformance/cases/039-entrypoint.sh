# --entrypoint and how it meets CMD.
c run --rm --entrypoint echo busybox a b
c run --rm --entrypoint '' busybox echo x
c run --rm --entrypoint no-such busybox
printf 'FROM busybox\nENTRYPOINT ["echo", "fixed"]\nCMD ["default"]\n' >Dockerfile
q build -t entry .
c run --rm entry
c run --rm entry given
c run --rm --entrypoint cat entry /etc/hostname-nosuch
printf 'FROM busybox\nENTRYPOINT echo shell form\nCMD ["ignored"]\n' >Dockerfile
q build -t shellform .
c run --rm shellform more
