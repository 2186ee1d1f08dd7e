# A created container has an id and a config, no address and no process.
q create --name idle -p 8099:80 busybox httpd -f
c inspect -f '{{.State.Status}} {{.State.Pid}} [{{.NetworkSettings.IPAddress}}] {{.State.StartedAt}}' idle
c port idle
c ps -a --format '{{.Names}} {{.Status}} [{{.Ports}}]'
c logs idle
c top idle
c exec idle true
c stop idle
c inspect -f '{{.State.Status}}' idle
