# Templates that are wrong, and what Go prints of what is not there.
up a1 -v vv:/v --label k=v
for cmd in "images" "volume ls" "network ls" "history busybox" "stats --no-stream" "system df"; do
    for f in "{{.Nope}}" "{{foo .ID}}" "{{.ID" "table {{foo}}"; do
        c $cmd --format "$f"
    done
done
c images --format raw
c volume ls --format raw
c network ls --format raw
c system df --format raw
for f in '{{.Nope}}' '{{foo}}'; do
    c version --format "$f"
    c info --format "$f"
done
for f in '{{.State.Nope}}' '{{index .Config.Labels "nope"}}.' '{{.Config.Labels.nope}}' '{{index .Mounts 5}}' \
    '{{html .Name}} {{urlquery .Name}} {{js "a<b"}}' '{{.HostConfig.CapAdd}} {{.HostConfig.Tmpfs}}' \
    '{{.Config.Volumes}} {{.HostConfig.PidsLimit}} {{.NetworkSettings.Networks.bridge.IPAMConfig}}' \
    '{{.State.Health}} {{.Config.Healthcheck}} {{.Config.StopTimeout}} {{.SizeRw}}' \
    '{{range .HostConfig.CapAdd}}x{{end}}{{if .HostConfig.CapAdd}}y{{end}}{{json .HostConfig.CapAdd}}' \
    '{{(index .Mounts 0).Mode}} {{(index .Mounts 0).Name}}'; do
    c inspect -f "$f" a1
done
