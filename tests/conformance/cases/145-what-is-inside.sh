c run --rm busybox ls -1A /
c run --rm busybox stat -c '%a %u:%g %F %n' /.dockerenv /etc/hosts /etc/hostname /etc/resolv.conf /dev /dev/shm /dev/pts \
    /dev/mqueue /dev/null /dev/ptmx /dev/stdin /proc/kcore /proc/sys /sys/firmware
c run --rm busybox ls -1 /dev
c run --rm debian sh -c 'ls -1A /dev; id; umask; pwd'
c run --rm -t busybox sh -c 'tty; stat -c "%a %u:%g" /dev/console /dev/pts/0; echo $TERM'
c run --rm -t -u 1:1 busybox sh -c 'stat -c "%a %u:%g" /dev/console /dev/pts/0; echo out >/dev/stdout'
c run --rm -t -e TERM=dumb busybox sh -c 'echo $TERM; stty -a | tail -n 3'
c run --rm busybox sh -c 'cat /proc/self/limits | grep -E "Max (core|open)" | wc -l; cat /proc/self/oom_score_adj'
s '$CLI run --rm busybox grep -E "^(Cap|NoNewPrivs|Seccomp|SigIgn|SigBlk)" /proc/self/status'
s '$CLI run --rm busybox sh -c "grep -E \" /(proc|dev)[^ ]* \" /proc/self/mounts | cut -d \" \" -f 1-4 | sort"'
q run --name fresh busybox true
c diff fresh
up running
c exec running sh -c 'cat /proc/self/status | grep -E "^(Cap|NoNewPrivs|Seccomp):"; ls /proc/self/fd | wc -l'
c exec -t running sh -c 'echo $TERM; stat -c "%a %u:%g" $(tty)'
c exec -t -u 1 running sh -c 'stat -c "%a %u:%g" $(tty); echo out >/dev/stderr'
