# -w and -u.
c run --rm -w /tmp busybox pwd
c run --rm -w /made/by/run busybox pwd
c run --rm -w relative busybox pwd
c run --rm -u nobody busybox id
c run --rm -u 1000 busybox id
c run --rm -u 1000:100 busybox id
c run --rm -u nobody:users busybox id
c run --rm -u nosuch busybox id
c run --rm -u 0:nosuch busybox id
c run --rm --group-add users --group-add 77 busybox id
