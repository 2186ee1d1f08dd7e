# create prints an id, start prints what was named.
s '$CLI create --name web busybox sh -c "echo hello; exit 4" | wc -c'
c start web
c wait web
c logs web
c start -a web
c start web nobody
c start
c create --name web busybox
c rm web
c rm web
