# build: the classic output, the cache, the tag.
cat >Dockerfile <<'D'
FROM busybox
LABEL kind=test
ENV A=1 B="two words"
WORKDIR /app
COPY hello.txt .
RUN cat hello.txt && echo $B
CMD ["cat", "hello.txt"]
D
echo hi >hello.txt
c build --tag app:v1 .
c run --rm app:v1
c build --tag app:v2 .
echo changed >hello.txt
c build --tag app:v3 .
c run --rm app:v3
c inspect -f '{{json .Config.Env}} {{.Config.WorkingDir}} {{json .Config.Cmd}} {{json .Config.Labels}}' app:v3
s '$CLI history --format "{{.CreatedBy}} {{.Size}}" app:v3'
