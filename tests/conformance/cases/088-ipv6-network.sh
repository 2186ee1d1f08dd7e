# A network with IPv6.
c network create --ipv6 --subnet fd00:66::/64 six
c network inspect -f '{{.EnableIPv6}}' six
s '$CLI run --rm --network six busybox ip -o -6 addr show eth0 | grep -c fd00:66'
c network create --ipv6 nosubnet
