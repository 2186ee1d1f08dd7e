# Odd bytes in names and arguments.
c run --rm --name "$(printf 'a\nb')" busybox true
c run --rm -e "X=$(printf 'one\ntwo')" busybox sh -c 'echo "$X"'
c run --rm busybox echo 'ünï cödé ☃'
c run --rm --label 'k=ü' busybox true
c volume create "$(printf 'v\nw')"
c tag busybox "$(printf 'x\ny')"
c network create "$(printf 'n\nm')"
