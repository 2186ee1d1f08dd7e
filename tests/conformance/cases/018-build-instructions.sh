# build: the other instructions.
cat >Dockerfile <<'D'
FROM busybox
MAINTAINER someone@example.com
ARG WHO=world
ENV WHO=${WHO}
EXPOSE 80 443/tcp 53/udp
VOLUME /data ["/more"]
VOLUME ["/list"]
USER nobody
STOPSIGNAL SIGUSR1
HEALTHCHECK --interval=5s --retries=2 CMD true
SHELL ["/bin/sh", "-ec"]
ENTRYPOINT ["echo", "to"]
CMD ["you"]
D
c build -t all .
c inspect -f '{{.Author}} {{json .Config.ExposedPorts}} {{json .Config.Volumes}} {{.Config.User}} {{.Config.StopSignal}}' all
c inspect -f '{{json .Config.Healthcheck}} {{json .Config.Shell}} {{json .Config.Entrypoint}} {{json .Config.Cmd}}' all
c run --rm all
c run --rm all me
c build -q --build-arg WHO=me -t all2 .
c inspect -f '{{json .Config.Env}}' all2
c build --build-arg NOSUCH=1 -t all3 .
