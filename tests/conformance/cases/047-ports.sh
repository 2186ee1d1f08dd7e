# Publishing: port, ps, inspect, and that it answers.
q run -d --name web -p 8080:80 busybox httpd -f -h /etc
until_ok curl -s localhost:8080/group
c port web
c port web 80
c port web 80/tcp
c port web 81
c ps --format '{{.Ports}}'
s 'curl -s localhost:8080/group | head -1'
s 'curl -s 127.0.0.1:8080/group | head -1'
c inspect -f '{{json .HostConfig.PortBindings}}' web
q run -d --name local -p 127.0.0.1:8081:80 busybox httpd -f -h /etc
c port local
c ps --filter name=local --format '{{.Ports}}'
q run -d --name some -P --expose 90 --expose 91/udp busybox httpd -f -h /etc
c port some
s '$CLI ps --filter name=some --format "{{.Ports}}"'
q run -d --name range -p 7000-7002:80-82 busybox sleep 100
s '$CLI port range | sort'
c ps --filter name=range --format '{{.Ports}}'
c rm -f web local some range
s 'curl -s localhost:8080/group'
