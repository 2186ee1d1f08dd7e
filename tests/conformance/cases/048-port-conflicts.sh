# A port in use, twice the same port, nonsense.
q run -d --name first -p 8085:80 busybox sleep 100
c run -d --name second -p 8085:80 busybox sleep 100
c ps -a --filter name=second --format '{{.Status}}'
c inspect -f '{{.State.Status}}' second
c run --rm -p 99999:80 busybox true
c run --rm -p nonsense busybox true
c run --rm -p 80:nonsense busybox true
c run --rm -p 1.2.3:80:80 busybox true
c run --rm -p 8000-8001:80-85 busybox true
c run --rm -p 80:80/sctpx busybox true
c rm -f first
c start second
c port nobody
