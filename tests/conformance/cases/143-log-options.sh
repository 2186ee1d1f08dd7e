for option in foo=bar mode=foo max-buffer-size=1m max-size=foo max-size=-1 max-file=0 max-file=x compress=true \
    compress=x mode=non-blocking max-file=2; do
    c run --rm --log-opt "$option" busybox echo hi
done
c run --rm --log-driver none busybox echo hi
c run --rm --log-driver nothere busybox echo hi
q run --name local --log-driver local --log-opt max-size=1m busybox sh -c 'echo one; echo two >&2'
c logs local
c inspect -f '{{json .HostConfig.LogConfig}} {{.LogPath}}' local
q run --name attributes --log-opt labels=a,b --log-opt labels-regex=^r --log-opt env=E,NONE --log-opt env-regex=^P \
    --log-opt 'tag={{.Name}}/{{.ID}}' --label a=1 --label c=2 --label region=x -e E='x,=y z' \
    busybox sh -c 'printf "a\r\n\nlast"; head -c 20000 /dev/zero | tr "\0" x; echo; printf "\342\202\254"'
s '$CLI logs --details attributes | sed "s/%2F[0-9a-f]\{12\}/%2FID/" | cut -c 1-170'
s '$CLI logs --details -t attributes | cut -c 32-150'
s 'sed "s/\"time\":.*//" "$($CLI inspect -f "{{.LogPath}}" attributes)" | cut -c 1-40'
s 'grep -o "\"attrs\":{[^}]*}" "$($CLI inspect -f "{{.LogPath}}" attributes)" | uniq -c | sed "s/[0-9a-f]\{12\}/ID/"'
for option in "--tail 1" "--tail 0" "--tail foo" "-n 2" "--since foo" "--until 1h" "--since 2099-01-01" "-f --tail 1"; do
    s "\$CLI logs $option attributes | cut -c 1-60"
done
