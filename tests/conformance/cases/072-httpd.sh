# The tour's web server: four layers, a volume over its pages, its own stop signal.
mkdir pages; echo '<p>mine</p>' >pages/index.html
q pull httpd
q create --name apache1 --publish 8088:80 --volume "$PWD/pages:/usr/local/apache2/htdocs/" httpd
c start apache1
until_ok curl -s -o /dev/null localhost:8088/
s 'curl -s localhost:8088/'
c ps --format '{{.Names}} {{.Ports}} {{.Command}}'
s '$CLI logs apache1 2>/dev/null | tail -1 | grep -o "\"GET.*"'
c stop apache1
c inspect -f '{{.State.ExitCode}} {{.Config.StopSignal}}' apache1
c history --format '{{.CreatedBy}}' httpd
