# Signals reach the process: STOPSIGNAL, --stop-signal, kill -s, --sig by number.
q run -d --name trap --stop-signal USR1 busybox sh -c 'trap "echo usr1; exit 5" USR1; while :; do sleep 0.1; done'
until_ok "$CLI" exec trap true
c stop trap
c logs trap
c inspect -f '{{.State.ExitCode}} {{.Config.StopSignal}}' trap
q run -d --name hup busybox sh -c 'trap "echo hup" HUP; trap "exit 8" USR2; while :; do sleep 0.1; done'
sleep 0.5
c kill -s HUP hup
c kill -s SIGUSR2 hup
c wait hup
c logs hup
q run -d --name deaf busybox sleep 100
c stop -t 0 deaf
c inspect -f '{{.State.ExitCode}}' deaf
c run --rm --stop-signal NONSENSE busybox true
