# --init reaps; --pid host and container; --ipc.
s '$CLI run --rm --init busybox ps -o pid,comm | tail -n +2 | grep -c -E "^ *1 .*init"'
c run --rm --init busybox sh -c 'exit 3'
up box
s '$CLI run --rm --pid container:box busybox ps | grep -c "sleep 1000"'
c run --rm --pid container:nobody busybox true
c run --rm --pid nonsense busybox true
c run --rm --ipc nonsense busybox true
c run --rm --uts host busybox true
c run --rm --ipc host busybox true
