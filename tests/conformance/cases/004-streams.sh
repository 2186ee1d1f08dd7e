# stdout and stderr stay apart; stdin reaches the process with -i only.
c run --rm busybox sh -c 'echo out; echo err >&2'
s 'echo text | $CLI run --rm -i busybox cat'
s 'echo text | $CLI run --rm busybox cat'
s 'printf "a\nb\n" | $CLI run --rm -i busybox wc -l'
s 'echo text | $CLI run --rm -i -a stdin -a stdout busybox sh -c "cat; echo lost >&2"'
s '$CLI run --rm busybox head -c 300000 /dev/zero | wc -c'
