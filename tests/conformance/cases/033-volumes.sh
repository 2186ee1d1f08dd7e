# Binds, named and anonymous volumes, read only, --mount.
mkdir data; echo host >data/f
c run --rm -v "$PWD/data:/d" busybox sh -c 'cat /d/f; echo back >/d/g'
s 'cat data/g'
c run --rm -v "$PWD/data:/d:ro" busybox sh -c 'echo x >/d/h'
c run --rm -v named:/n busybox sh -c 'echo kept >/n/f'
c run --rm -v named:/n busybox cat /n/f
q run --name anon -v /anon busybox sh -c 'echo a >/anon/f'
c inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}} {{.Driver}}{{end}}' anon
c rm -v anon
c run --rm --mount type=bind,source="$PWD/data",target=/d,readonly busybox ls /d
c run --rm --mount type=volume,source=named,target=/n busybox cat /n/f
c run --rm --mount type=tmpfs,target=/t busybox sh -c 'mount | grep -c " /t type tmpfs"'
c run --rm -v "$PWD/data/f:/etc/one" busybox cat /etc/one
q run --name from -v named:/n busybox true
c run --rm --volumes-from from busybox cat /n/f
c run --rm --volumes-from from:ro busybox sh -c 'echo x >/n/g'
