# Fixed addresses in a user-defined network.
q network create --subnet 10.66.0.0/24 fixed
c run --rm --network fixed --ip 10.66.0.77 busybox sh -c 'ip -o -4 addr show eth0 | grep -o "10[0-9./]*" | head -1'
c run --rm --ip 172.17.0.9 busybox true
c run --rm --network fixed --ip 10.99.0.1 busybox true
c run --rm --network fixed --ip nonsense busybox true
s '$CLI run --rm --mac-address 02:42:00:00:00:99 busybox cat /sys/class/net/eth0/address | tr : -'
c run --rm --mac-address nonsense busybox true
up aa --network fixed --ip 10.66.0.50
c run --rm --network fixed --ip 10.66.0.50 busybox true
s '$CLI run --rm --network fixed busybox ip route | head -1'
