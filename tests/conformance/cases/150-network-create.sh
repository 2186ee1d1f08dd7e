# network create: pools, options, names; what Docker refuses and how.
c network create --subnet 10.150.0.0/24 --subnet 10.151.0.0/24 two
c network create --gateway 10.150.0.1 alone
c network create --ip-range 10.150.0.0/25 alone
c network create --aux-address a=10.150.0.1 alone
c network create --subnet 10.150.0.0/24 --ip-range 10.151.0.0/25 wrong
c network create --subnet 10.150.0.0/24 --ip-range nonsense wrong
c network create --subnet 10.150.0.0/24 --aux-address a=10.151.0.1 wrong
c network create --subnet 10.150.0.0/24 --aux-address a=10.150.0.1 --gateway 10.150.0.1 wrong
c network create --subnet 10.150.0.0/24 --gateway 10.150.0.0 wrong
c network create --subnet 10.150.0.0/24 --gateway 10.150.0.255 wrong
c network create --subnet 10.150.0.0/32 wrong
c network create --subnet 10.150.0.1 wrong
c network create --subnet 10.150.0.0/33 wrong
c network create -o com.docker.network.bridge.enable_icc=maybe wrong
c network create -o com.docker.network.driver.mtu=abc wrong
c network create -o com.docker.network.driver.mtu=-1 wrong
c network create -o com.docker.network.bridge.host_binding_ipv4=nonsense wrong
c network create -o com.docker.network.bridge.name=lo wrong
c network create --ipam-driver nosuch wrong
c network create --scope swarm wrong
c network create -d host wrong
c network create none
c network create 'two words'
c network create _under/score
q network create -o com.docker.network.bridge.name=own150 -o foo=bar -o novalue --label a --label b=c opts
c network create -o com.docker.network.bridge.name=own150 again
c network inspect -f '{{json .Options}} {{json .Labels}}' opts
s '$CLI network ls --filter type=custom --format "{{.Name}}" | sort'
c network ls --filter dangling=bad
c network ls --filter nosuch=1
c network prune -f --filter until=bad
c network ls --format raw --filter driver=host
