# network ls, create, inspect, rm, prune.
c network ls
c network create front
c network create front
c network ls --filter type=custom --format '{{.Name}} {{.Driver}} {{.Scope}}'
c network inspect -f '{{.Name}} {{.Driver}} {{.Internal}} {{.EnableIPv6}} {{json .Labels}}' front
q network create --subnet 10.77.0.0/24 --gateway 10.77.0.9 --ip-range 10.77.0.128/25 --label k=v back
c network inspect -f '{{json .IPAM.Config}} {{json .Labels}}' back
c network create --subnet 10.77.0.0/25 overlap
c network create --subnet nonsense bad
c network create --subnet 10.78.0.0/24 --gateway 10.79.0.1 bad
c network create --driver nosuch bad
c network inspect nosuch
c network rm nosuch
c network rm bridge
c network rm front back
c network create bridge
c network create host
c network create ''
