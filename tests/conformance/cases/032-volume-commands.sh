# volume create, ls, inspect, rm, prune.
c volume create data
c volume create data
c volume ls
c volume ls -q
c volume inspect -f '{{.Name}} {{.Driver}} {{.Scope}} {{json .Options}} {{json .Labels}}' data
q volume create --label k=v labelled
c volume ls -q --filter label=k=v
c volume inspect nosuch
c volume rm nosuch
c volume rm -f nosuch
q create --name user -v data:/d busybox
c volume rm data
q rm user
c volume rm data
c volume create 'bad name'
c volume create --driver nosuch x
s '$CLI volume create | wc -c'
c volume ls -q --filter dangling=false
c volume
