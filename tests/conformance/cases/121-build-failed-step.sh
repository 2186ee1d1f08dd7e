# The container of a failed step stays to be looked at, unless --force-rm; --rm=false leaves all of RUN.
printf 'FROM busybox\nENV A=b\nWORKDIR /w\nRUN echo ok\nRUN echo out; echo left >f; exit 7\n' >Dockerfile
c build .
c ps -a --format '{{.Image}} {{.Command}} {{.Status}}'
s '$CLI inspect -f "{{.State.ExitCode}} {{.State.Status}} {{json .Config.Cmd}} {{json .Config.Env}} {{.Config.WorkingDir}} {{.HostConfig.LogConfig.Type}}" $($CLI ps -alq)'
s '$CLI diff $($CLI ps -alq)'
s '$CLI start $($CLI ps -alq) | wc -l'
s '$CLI wait $($CLI ps -alq)'
s '$CLI commit $($CLI ps -alq) rescued | cut -c1-7'
c run --rm rescued cat f
s '$CLI rm $($CLI ps -aq) | wc -l'
c build --no-cache --force-rm .
c ps -aq
printf 'FROM busybox\nRUN ["/nothing"]\n' >Dockerfile
c build .
c ps -a --format '{{.Command}} {{.Status}}'
q container prune -f
c build --no-cache --force-rm .
c ps -aq
printf 'FROM busybox\nRUN echo one >/1\nRUN echo two >/2\n' >Dockerfile
c build --rm=false -t two .
c ps -a --format '{{.Command}} {{.Status}}'
c run --rm two cat /1 /2
c build -q .
printf 'FROM busybox\nRUN echo out; exit 2\n' >Dockerfile
c build -q .
s '$CLI container prune -f | tail -1'
