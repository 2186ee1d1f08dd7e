# On the default bridge containers ping each other by address.
up aa
up bb
address=$("$CLI" inspect -f '{{.NetworkSettings.IPAddress}}' bb)
s "\$CLI exec aa ping -c 1 -W 2 -q $address >/dev/null"
s '$CLI exec aa ping -c 1 -W 2 -q 172.17.0.1 >/dev/null'
s '$CLI exec aa ip route | sed "s/src.*//" '
c exec aa ping -c 1 -W 1 -q bb
s '$CLI exec aa cat /sys/class/net/eth0/mtu'
