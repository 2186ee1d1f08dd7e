# A new named volume gets what the image has there; a bind does not.
c run --rm -v fresh:/etc busybox sh -c 'ls /etc/passwd'
c run --rm -v fresh:/mnt busybox ls /mnt/passwd
mkdir empty
c run --rm -v "$PWD/empty:/home" busybox ls -A /home
c run --rm -v other:/etc:nocopy busybox sh -c 'ls /etc | grep passwd'
