# Hostname, /etc/hosts and /etc/resolv.conf.
c run --rm -h alpha busybox hostname
c run --rm -h alpha --domainname example.org busybox sh -c 'hostname; cat /etc/hostname'
s '$CLI run --rm busybox hostname | wc -c'
c run --rm -h alpha busybox cat /etc/hosts
c run --rm -h alpha --add-host db:10.1.2.3 --add-host 'six:fd00::1' busybox tail -3 /etc/hosts
c run --rm --add-host bad busybox true
c run --rm --add-host db:notanaddress busybox true
c run --rm --dns 10.9.8.7 --dns-search example.org --dns-option ndots:2 busybox cat /etc/resolv.conf
c run --rm --dns nonsense busybox true
