# A container in two networks, names resolved in a user-defined one.
q network create net1
q network create net2
up aa --network net1
up bb --network net1 --network-alias bee
s '$CLI exec aa ping -c 1 -W 2 -q bb | grep received'
s '$CLI exec aa ping -c 1 -W 2 -q bee >/dev/null'
c network connect net2 aa
c inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{end}}' aa
s '$CLI exec aa ip -o -4 addr | grep -c eth'
c network connect net2 aa
c network disconnect net2 aa
s '$CLI exec aa ip -o -4 addr | grep -c eth'
c network disconnect net2 aa
c network connect nosuch aa
c network connect net2 nobody
c network rm net1
c run --rm --network nosuch busybox true
