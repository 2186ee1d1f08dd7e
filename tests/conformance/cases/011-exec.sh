# exec: statuses, environment, user, directory, detached.
up box -e FROM_RUN=1 -w /tmp
c exec box echo hello
c exec box sh -c 'exit 9'
c exec box no-such-program
c exec -e EXTRA=2 box sh -c 'echo $FROM_RUN $EXTRA'
c exec -w /etc box pwd
c exec box pwd
c exec -u nobody box id
c exec -u 1234:5678 box id -u
c exec -u nouser box id
s 'echo in | $CLI exec -i box cat'
c exec -d box touch /tmp/made
until_ok "$CLI" exec box ls /tmp/made
c exec box ls /tmp
c exec box sh -c 'echo err >&2'
c exec nobody true
c exec box
c exec -w /no/where box true
q stop -t 1 box
c exec box true
