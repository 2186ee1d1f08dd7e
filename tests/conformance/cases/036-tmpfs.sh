# --tmpfs with options; /dev/shm.
c run --rm --tmpfs /t busybox sh -c 'echo x >/t/f && cat /t/f'
c run --rm --tmpfs /t:size=1m,mode=1777,ro busybox sh -c 'echo x >/t/f'
s '$CLI run --rm --tmpfs /t:size=64k busybox mount | grep " /t " | grep -o "size=[0-9a-z]*"'
s '$CLI run --rm busybox mount | grep "/dev/shm" | grep -o "size=[0-9a-z]*"'
s '$CLI run --rm --shm-size 8m busybox mount | grep "/dev/shm" | grep -o "size=[0-9a-z]*"'
