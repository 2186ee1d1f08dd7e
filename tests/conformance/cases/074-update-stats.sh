# update limits; stats once.
up box --memory 64m
c update --memory 128m --memory-swap 128m box
c inspect -f '{{.HostConfig.Memory}}' box
c update nobody
c update --memory 1k box
c stats --no-stream --format '{{.Name}} {{.PIDs}}' box
s '$CLI stats --no-stream | head -1'
c stats --no-stream nobody
