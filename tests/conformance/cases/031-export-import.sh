# export a filesystem, import it as an image.
q run --name box busybox sh -c 'echo exported >/exported'
c export -o fs.tar box
s 'tar -tf fs.tar | grep exported'
s '$CLI import fs.tar imported:v1'
c run --rm imported:v1 cat /exported
s '$CLI export box | $CLI import --change "CMD [\"cat\", \"/exported\"]" --message hello - imported:v2'
c run --rm imported:v2
c inspect -f '{{.Comment}} {{json .Config.Cmd}}' imported:v2
c export nobody
c import nosuch.tar x
c run --rm imported:v1
