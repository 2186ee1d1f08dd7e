# What image commands refuse, files for their owner only, questions left unanswered.
c save -o x.tar busybox
s 'ls -l x.tar | cut -c1-10'
c save -o . busybox
q create --name cc busybox
c export cc -o y.tar
s 'ls -l y.tar | cut -c1-10'
c tag busybox sha256:abc
c commit cc sha256:abc
c tag busybox x@sha256:0123456789012345678901234567890123456789012345678901234567890123
c image prune
c builder prune -f --filter foo=bar
c builder prune -f --keep-storage 1g
c images -f dangling=x
c images -f foo=bar
c import nosuch.tar a ignored
mkdir w
printf 'FROM busybox\nCOPY f /f\nRUN cat /f\n' >w/Dockerfile
echo f >w/f
tar -C w -czf w/ctx.tgz Dockerfile f
(cd w && exec python3 -m http.server 8765 --bind 127.0.0.1 >/dev/null 2>&1) &
until_ok python3 -c 'import socket; socket.create_connection(("127.0.0.1", 8765))'
s '$CLI build http://127.0.0.1:8765/ctx.tgz | grep -v Download | tail -n +2'
c import http://127.0.0.1:8765/ctx.tgz imp
s '$CLI history --format "{{.Comment}}" imp | sed "s/http.*tgz/URL/"'
s '$CLI import http://127.0.0.1:8765/nope 2>&1 | head -1 | cut -c1-90'
s '$CLI build http://127.0.0.1:8765/nope 2>&1 | grep -o "unable to prepare.*GET"'
kill $!
