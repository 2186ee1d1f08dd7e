# stop, kill, restart and what they do to the exit status.
up one
c stop one
c inspect -f '{{.State.Status}} {{.State.ExitCode}}' one
c stop one
c restart -t 1 one
c inspect -f '{{.State.Status}}' one
c kill one
c wait one
c kill one
c kill --signal NONSENSE one
q start one
c kill -s TERM one
c wait one
c stop nobody
c kill nobody
c restart nobody
