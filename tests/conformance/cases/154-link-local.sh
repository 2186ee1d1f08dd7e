# --link-local-ip on run and connect.
q network create --subnet 10.154.0.0/24 ll
c run --rm --network ll --link-local-ip 169.254.5.5 busybox sh -c 'ip -4 -o addr show eth0 | sed "s/ brd.*//;s/.*: //;s/scope.*//"; ip route'
c run --rm --network ll --link-local-ip 10.1.1.1 busybox true
c run --rm --network ll --link-local-ip nonsense busybox true
c run --rm --link-local-ip 169.254.5.5 busybox sh -c 'ip -4 -o addr show eth0 | sed "s/ brd.*//;s/.*: //;s/scope.*//"'
up box
c network connect --link-local-ip 169.254.5.5 --link-local-ip 169.254.5.6 ll box
s '$CLI exec box ip -4 -o addr show eth1 | sed "s/ brd.*//;s/.*: //;s/scope.*//"'
c inspect -f '{{json .NetworkSettings.Networks.ll.IPAMConfig}}' box
c network connect --link-local-ip nonsense bridge box
