# Legacy links are names too; rm --link takes one away, in the container's hosts file as well.
up a1
up a2 --link a1:al
up a3 --link a1:b3
c ps --no-trunc --format '{{.Names}}'
c ps --format '{{.Names}}'
c inspect -f '{{.HostConfig.Links}}' a2
c inspect -f '{{.Name}}' a2/al
s '$CLI exec a2 cat /etc/hosts | grep -w al'
c rm --link a2/al
c rm --link a2/al
c rm --link /a2/nosuch
c rm --link a1
s '$CLI exec a2 cat /etc/hosts | grep -w al'
c rename a1 b1
c ps --no-trunc --format '{{.Names}}'
c inspect -f '{{.HostConfig.Links}} {{.HostConfig.Links}}' a3
q network create n1
up a4 --network n1 --network-alias al --link b1:zz
c inspect -f '{{.HostConfig.Links}} {{.NetworkSettings.Networks.n1.Links}}' a4
q stop a4
s '$CLI inspect -f "{{json .NetworkSettings.Networks.n1.Aliases}} {{.NetworkSettings.Networks.n1.NetworkID}} {{.NetworkSettings.Networks.n1.IPAddress}}" a4'
