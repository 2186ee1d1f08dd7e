# Refused before anything changes.
c run --rm -v relative/path:/x busybox true
c run --rm -v /host:relative busybox true
c run --rm -v /a:/b:/c:ro busybox true
c run --rm -v /a:/b:nonsense busybox true
c run --rm -v /tmp:/ busybox true
c run --rm -v /tmp:/x -v /var:/x busybox true
c run --rm --mount type=bind,source=/no/such/source,target=/x busybox true
c run --rm --mount type=bind,target=/x busybox true
c run --rm --mount type=nonsense,target=/x busybox true
c run --rm --mount source=v busybox true
c run --rm --mount type=volume,src=v,dst=/x,nonsense=1 busybox true
c run --rm --tmpfs relative busybox true
c run --rm --volumes-from nobody busybox true
c ps -aq
