# Published ports: order, refusals, what happens to them when the network goes.
q run -d --name w1 -p 8153:80 busybox httpd -f -h /etc
c run -d --name w2 -p 9153:80 -p 9154:80 -p 9153:80/udp busybox sleep 100
c port w2
c port w2 80/udp
c port w2 x
c port w2 99
c rm -f w2
c run -d --name w2 -p 1.2.3.4:9153:80 busybox sleep 100
c rm -f w2
c network disconnect bridge w1
c port w1
c ps --filter name=w1 --format '{{.Ports}}'
c network connect bridge w1
c port w1
s 'curl -s -m 5 localhost:8153/group | head -1'
