# Interfaces, gateways, hosts and resolv.conf of containers that are connected and disconnected.
q network create --subnet 10.151.1.0/24 aa
q network create --subnet 10.151.2.0/24 zz
q network create --subnet 10.151.3.0/24 --internal inside
up box
addresses='$CLI exec box ip -4 -o addr | sed "s/ brd.*//;s/.*: //" | grep -v lo'
routes='$CLI exec box ip -4 route | grep default'
c network connect zz box
s "$addresses"
s "$routes"
s '$CLI exec box grep nameserver /etc/resolv.conf'
c network connect aa box
s "$routes"
c network connect --ip 10.151.9.1 inside box
c network connect --ip 10.151.3.1 inside box
c network connect inside box
s "$routes"
c network disconnect bridge box
s "$routes"
c network disconnect aa box
s "$routes"
c network connect aa box
s "$addresses"
s "$routes"
c network connect --alias x bridge box
c network connect bridge box
c network disconnect nosuch box
c network disconnect -f nosuch box
c network disconnect -f aa nobody
for n in aa zz inside bridge; do c network disconnect $n box; done
s "$addresses"
c inspect -f '{{json .NetworkSettings.Networks}} {{.HostConfig.NetworkMode}}' box
c network connect zz box
c rm -f box
q create --name off busybox true
c network connect aa off
c network connect aa off
c network connect --ip 10.151.2.9 zz off
c network connect --alias x bridge off
c network disconnect aa off
c network disconnect aa off
c network rm zz
c start off
c network disconnect zz off
c start -a off
q run -d --name hosty --network host busybox sleep 100
c network connect aa hosty
c network disconnect host hosty
q run -d --name bare --network none busybox sleep 100
c network connect aa bare
c network disconnect none bare
c network connect aa bare
s '$CLI exec bare ip -4 -o addr | grep -c eth0'
c rm -f hosty bare
