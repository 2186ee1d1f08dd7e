q create --name stopped busybox true
up private
up shareable --ipc shareable
up none --ipc none
for donor in private shareable none stopped nothere; do
    c run --rm --ipc "container:$donor" busybox true
done
for donor in private stopped nothere; do
    c run --rm --pid "container:$donor" busybox true
done
c exec shareable sh -c 'echo kept >/dev/shm/note'
c run --rm --ipc container:shareable busybox cat /dev/shm/note
c run --name second -d --ipc container:shareable busybox sleep 1000
c run --rm --ipc container:second busybox cat /dev/shm/note
c run --rm --pid container:private busybox sh -c 'cat /proc/1/comm'
c run --rm --pid host busybox sh -c '[ "$(readlink /proc/1/ns/pid)" = "$(readlink /proc/self/ns/pid)" ]'
c run --rm --pid foo busybox true
c run --rm --ipc foo busybox true
c run --rm --uts foo busybox true
c run --rm --cgroupns foo busybox true
