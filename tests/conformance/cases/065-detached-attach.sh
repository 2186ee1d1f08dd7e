# attach without a terminal: output from now on, status at the end.
q run -d --name talk -i busybox sh -c 'read line; echo "got $line"; exit 12'
s 'echo hello | $CLI attach talk'
c attach talk
c attach nobody
q run -d --name out busybox sh -c 'sleep 0.7; echo later; exit 2'
c attach --no-stdin out
