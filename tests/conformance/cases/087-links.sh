# --link on the default bridge: hosts and environment.
up db -e SECRET=1
s '$CLI run --rm --link db:alias busybox grep -c alias /etc/hosts'
s '$CLI run --rm --link db busybox ping -c 1 -W 2 -q db >/dev/null'
c run --rm --link nobody busybox true
