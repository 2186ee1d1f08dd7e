# -e, --env-file, defaults.
c run --rm -e A=1 -e B= -e EMPTY busybox sh -c 'echo "[$A][$B][${EMPTY-unset}]"'
s 'PASSED=through $CLI run --rm -e PASSED busybox sh -c "echo \$PASSED"'
printf '# comment\nX=1\nY=two words\n\nZ="quoted"\n' >env
c run --rm --env-file env busybox sh -c 'echo "$X|$Y|$Z"'
c run --rm --env-file env -e X=9 busybox sh -c 'echo $X'
printf 'bad line with = spaces\n' >bad
c run --rm --env-file bad busybox true
c run --rm --env-file nosuch busybox true
c run --rm -e =x busybox true
c run --rm busybox env
s '$CLI run --rm -h fixed busybox env | sort'
s '$CLI run --rm -u nobody busybox sh -c "echo \$HOME"'
