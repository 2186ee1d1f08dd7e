# What a RUN step sees.
cat >Dockerfile <<'D'
FROM busybox
ARG SECRET=arg
ENV V=1
ENV V=2 W=$V
WORKDIR /a
WORKDIR b
RUN pwd; echo $V $W $SECRET
USER 1000:1000
RUN id -u; id -g
RUN ["echo", "exec", "form $V"]
RUN echo line one && \
    # a comment inside
    echo line two
D
c build -t env .
c run --rm env sh -c 'pwd; echo $V $W [$SECRET]; id -u'
c build --build-arg SECRET=other -t env2 .
