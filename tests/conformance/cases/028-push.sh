# push to a registry on loopback and pull it back.
q run --name box busybox sh -c 'echo pushed $RANDOM >/pushed'
q commit box localhost:5000/team/app:v1
s '$CLI push localhost:5000/team/app:v1 | grep -E "^(The|v1)"'
s '$CLI push localhost:5000/team/app:v1 | grep -c "Layer already exists"'
q rm box
q rmi localhost:5000/team/app:v1
c run --rm localhost:5000/team/app:v1 sh -c 'cut -c 1-6 /pushed'
c push localhost:5000/nosuch
c push nosuch:v1
c push localhost:1/x
