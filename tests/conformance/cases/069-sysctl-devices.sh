# --sysctl, --device.
c run --rm --sysctl net.ipv4.ip_forward=0 busybox cat /proc/sys/net/ipv4/ip_forward
c run --rm --sysctl kernel.nonsense=1 busybox true
c run --rm --device /dev/zero:/dev/nought busybox sh -c 'head -c 3 /dev/nought | wc -c'
c run --rm --device /dev/nosuch busybox true
c run --rm --device /dev/zero:/dev/z:q busybox true
