for option in no-new-privileges:maybe no-new-privileges=1 foo foo=bar label=disable apparmor; do
    c run --rm --security-opt "$option" busybox grep NoNewPrivs /proc/self/status
done
for user in -1 -0 +1 01 1:-1 1:+5 99999999999 1:99999999999 nobody:; do
    c run --rm -u "$user" busybox id
done
c run --rm --ipc host --sysctl kernel.msgmax=65536 busybox true
c run --rm --ipc host --sysctl fs.mqueue.msg_max=20 busybox true
c run --rm --network host --sysctl net.ipv4.ip_forward=1 busybox true
c run --rm --sysctl kernel.msgmax=65537 busybox cat /proc/sys/kernel/msgmax
c run --rm --sysctl net.ipv4.ping_group_range='1 5' --sysctl net.ipv4.ip_unprivileged_port_start=1024 busybox \
    sh -c 'cd /proc/sys/net/ipv4 && cat ping_group_range ip_unprivileged_port_start'
for mode in none bridge; do
    c run --rm --network $mode busybox sh -c 'cd /proc/sys/net/ipv4 && cat ping_group_range ip_unprivileged_port_start'
done
up donor --sysctl net.ipv4.ip_unprivileged_port_start=99
q run --rm --network container:donor busybox true
c exec donor cat /proc/sys/net/ipv4/ip_unprivileged_port_start
c run --rm --network container:donor --sysctl net.ipv4.ip_unprivileged_port_start=7 busybox \
    cat /proc/sys/net/ipv4/ip_unprivileged_port_start
for place in /proc /proc/sys /proc/self/fd; do
    s "\$CLI run --rm -v /etc:$place busybox true 2>&1 | sed 's,\"[^\"]*/merged/proc[^\"]*\",\"$place\",'"
done
c run --rm -v /etc/hostname:/proc/uptime busybox sh -c 'wc -l </proc/uptime'
for device in :/x /dev/null::r /dev/null:/x:y a:b:c:d /dev/shm; do
    c run --rm --device "$device" busybox true
done
for option in foo foo=bar size; do
    c run --rm --tmpfs "/t:$option" busybox true
done
c run --rm busybox sh -c 'mknod /tun c 10 200 && : </tun; mknod /mem c 1 1 && : </mem'
c run --rm --hostname a.b --domainname c.d busybox sh -c 'tail -1 /etc/hosts | cut -f 2; hostname'
