# Removing images: untag, delete, in use.
q tag busybox other:v1
c rmi other:v1
q tag hello-world hello2
c rmi hello2
q create --name holds hello-world
c rmi hello-world
c rmi -f hello-world
q rm holds
c rmi nosuch
c rmi nosuch:v1 busybox:nosuch
c rmi
q pull hello-world
c rmi hello-world
up runs
q tag busybox alias1
c rmi alias1
c rmi -f alias1
s '$CLI rmi $($CLI images -q busybox | head -1) 2>&1 | sed "s/<ID12>/x/g"'
