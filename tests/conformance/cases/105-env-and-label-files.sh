# --env-file and --label-file line by line, and what run prints of limits, users and files it made.
printf 'A=1\n# c\n\nB\n  C=3\nE="q"\nF=a=b\r\n' >ef
c run --rm --env-file ef busybox env
printf 'A=1\nB C=2\n' >ef2
c run --rm --env-file ef2 busybox env
printf '=x\n' >ef3
c run --rm --env-file ef3 busybox env
printf '\xff=x\n' >ef4
c run --rm --env-file ef4 busybox env
c run --rm --env-file . busybox true
c run --rm --env-file nosuch busybox true
c run --rm --label-file . busybox true
printf 'a=b\n#x\nk\n' >lf
q create --name l1 --label-file lf -l a=z busybox true
c inspect -f '{{json .Config.Labels}}' l1
c run --rm --ulimit nofile=100:200 --ulimit core=0 busybox sh -c 'ulimit -n; ulimit -Hn; ulimit -c'
c run --rm -h my.host.name --domainname ex.org busybox sh -c 'hostname; cat /etc/hostname; tail -1 /etc/hosts | cut -f 2'
c run --rm --add-host x:1.2.3.4 --add-host y:::1 --add-host z=5.6.7.8 busybox cat /etc/hosts
c run --rm -v /data:ro busybox true
up a1
c exec --env-file ef2 a1 true
c exec --env-file . a1 true
c exec -w relative a1 pwd
