# Every filter of ps with good and bad values, every form of --format, what each column says.
up a1 -p 8080:80 --label x=y --label z=1
up a2 --health-cmd true --health-interval 1s
q create --name a3 busybox echo "a very long command line that is truncated" "and quotes \" here"
"$CLI" run --name a4 busybox sh -c 'exit 3' # its status is 3: no preparation to be checked
q run --name a5 hello-world
up a6 --network none
q pause a6
until_ok sh -c '$CLI ps | grep "(healthy)"'
c ps -a
c ps -n 2
c ps -l -q --no-trunc
c ps -a --format json
c ps -a --format raw
c ps -a --format 'table {{.Names}}\t{{.Image}}\t{{.State}}\t{{.Label "x"}}\t{{upper .Names}}'
c ps -aq --format '{{.Names}}'
c ps -a --format '{{.Platform}}'
for form in '{{.Nope}}' '{{foo .Names}}' '{{.Names' 'table {{foo}}'; do
    c ps -a --format "$form"
done
for f in name=a1 name=^a name=/a1 'name=a[12]' label=x label=x=y label=x=q label exited=3 exited=x \
    status=running status=paused status=exited status=created status=foo status=dead ancestor=busybox \
    ancestor=nosuch before=a3 since=a3 before=nosuch since=nosuch volume=x network=bridge network=none \
    publish=8080 publish=80 publish=80-90 publish=x publish=80/foo expose=80 expose=80/udp health=healthy \
    health=none health=foo is-task=true is-task=x foo=bar foo; do
    c ps -a --filter "$f" --format '{{.Names}}'
done
c ps -a -f label=x -f label=z --format '{{.Names}}'
