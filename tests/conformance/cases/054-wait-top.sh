# wait and top.
q run -d --name slow busybox sh -c 'sleep 0.5; exit 6'
c wait slow
c wait slow
c wait nobody
up box
s '$CLI top box | head -1'
s '$CLI top box -o pid,comm | head -1'
s '$CLI top box | grep -c sleep'
c top nobody
c top slow
c wait
