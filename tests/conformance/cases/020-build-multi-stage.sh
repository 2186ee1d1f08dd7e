# Several stages, --from by name and number, --target, ARG before FROM.
cat >Dockerfile <<'D'
ARG BASE=busybox
FROM $BASE AS make
RUN echo made >/out
FROM busybox AS second
COPY --from=make /out /got
FROM busybox
COPY --from=1 /got /final
RUN cat /final
D
c build -t multi .
c run --rm multi cat /final
c build --target make -t first .
c run --rm first cat /out
c build --target nosuch .
printf 'FROM busybox\nCOPY --from=nosuchstage:v9 /x /y\n' >D2
s '$CLI build -f D2 . 2>&1 | sed "s/error.*pull access/pull access/" | grep -c Step'
