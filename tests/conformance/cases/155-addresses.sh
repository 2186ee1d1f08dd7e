# Addresses: exhaustion, the lowest free one first, ranges, auxiliary and fixed ones, stopped containers.
q network create --subnet 10.88.0.0/29 small
for i in 1 2 3 4 5; do up s$i --network small; done
c run -d --name s6 --network small busybox sleep 100
c run -d --name s7 --network small busybox sleep 100
c rm -f s2 s6 s7
c run --rm --network small busybox sh -c 'ip -4 -o addr show eth0 | grep -o "10[0-9./]*" | head -1'
c rm -f s1 s3 s4 s5
q network create --subnet 10.89.0.0/24 --ip-range 10.89.0.128/30 ranged
c run --rm --network ranged busybox sh -c 'ip -4 -o addr show eth0 | grep -o "10[0-9./]*" | head -1'
up r1 --network ranged
up r2 --network ranged
up r3 --network ranged
s '$CLI run -d --name r4 --network ranged busybox sleep 100 >/dev/null' # the range is used up
c run --rm --network ranged --ip 10.89.0.7 busybox sh -c 'ip -4 -o addr show eth0 | grep -o "10[0-9./]*" | head -1'
c rm -f r1 r2 r3 r4
q network create --subnet 10.90.0.0/24 --aux-address a=10.90.0.2 --gateway 10.90.0.254 auxed
c run --rm --network auxed busybox sh -c 'ip -4 -o addr show eth0 | grep -o "10[0-9./]*" | head -1; ip route | head -1'
c run --rm --network auxed --ip 10.90.0.2 busybox true
c run --rm --network auxed --ip 10.90.0.254 busybox true
up keep --network auxed
c stop -t 0 keep
up thief --network auxed
c start keep
s '$CLI inspect -f "{{.NetworkSettings.Networks.auxed.IPAddress}}" keep thief'
c rm -f keep thief
q create --name fixed --network auxed --ip 10.90.0.50 busybox sleep 100
up other --network auxed --ip 10.90.0.50
c start fixed
c rm -f fixed other
c network rm small ranged auxed
