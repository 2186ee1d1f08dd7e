# start -a and -ai.
q create --name c1 -i busybox sh -c 'cat; exit 4'
s 'echo fed | $CLI start -ai c1'
q create --name c2 busybox sh -c 'echo out; echo err >&2'
c start -a c2
c start -a c1 c2
q create --name c3 busybox no-such-program
c start c3
c inspect -f '{{.State.ExitCode}} {{.State.Status}}' c3
c start -a c3
