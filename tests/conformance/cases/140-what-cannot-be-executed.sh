cat >Dockerfile <<'END'
FROM busybox
RUN mkdir /x /x/dir /x/priv && cd /x && printf '#!/no/interpreter\n' >interp && echo echo >noshebang && \
    : >empty && printf '#!/bin/sh\necho hi "$0"\n' >ok && chmod 755 * && cp ok priv/ok && chmod 700 priv && \
    cp ok noexec && chmod 644 noexec && ln -s loop loop && ln -s ok link && ln -s /nowhere dangling && \
    mkfifo -m 755 fifo
ENV PATH=/x:/bin
END
q build -t tested .
q run -d --name base tested sleep 1000
for command in interp noshebang empty ok noexec link loop dangling dir fifo nothere "" . \
    /x/interp /x/noexec /x/loop /x/dangling /x/dir /x/ok/ /nothere ./ok x/ok; do
    c run --rm tested "$command"
    c exec base "$command"
done
c run --rm -u 1 tested /x/priv/ok
c run --rm -w /etc/passwd tested ok
c run --name ended tested interp
c logs ended
c inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' ended
c start -a ended
