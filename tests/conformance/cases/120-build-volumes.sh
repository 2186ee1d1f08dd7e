# VOLUME in a build: what later steps change below it is dropped, what COPY puts there stays.
cat >Dockerfile <<'D'
FROM busybox
RUN mkdir /v && echo a >/v/a && chmod 757 /v && chown 5:6 /v
VOLUME ["/v", "/new", "/z z"]
RUN stat -c '%a %u:%g' /v; echo b >/v/b; echo c >/new/c; echo d >/elsewhere
RUN ls /v /new /elsewhere
COPY Dockerfile /v/copied
RUN ls /v; ls -d '/z z' /new
D
c build -t v1 .
c run --rm v1 ls /v /new
c inspect -f '{{json .Config.Volumes}}' v1
c volume ls -q
c ps -aq
printf 'FROM v1\nRUN echo kept >/v/kept; exit 3\n' >Dockerfile
c build .
s '$CLI volume ls -q | wc -l'
s '$CLI cp $($CLI ps -alq):/v/kept - | tar -xO'
s '$CLI rm -v $($CLI ps -alq) | wc -l'
c volume ls -q
