# Removing: running ones need -f; several at once; unknown ones are told and the rest is removed.
up one
up two
c rm one
c rm -f one
q stop -t 1 two
q create --name three busybox
c rm two nobody three
c ps -aq
c rm
c rm -f nobody
