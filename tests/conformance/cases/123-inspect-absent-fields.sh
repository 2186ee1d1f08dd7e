# Templates may name what an object does not have: Go's zero values, not an error.
printf 'FROM busybox\n' >Dockerfile
q build -q -t e .
for f in ExposedPorts Healthcheck StopSignal Shell OnBuild Volumes Labels Entrypoint Nope; do
    c image inspect -f "{{.Config.$f}} {{json .Config.$f}}" e
done
c inspect -f '{{.Variant}}|{{.OsVersion}}|{{len .Config.Labels}}|{{range $k, $v := .Config.ExposedPorts}}{{$k}}{{end}}|{{index .Config.Labels "x"}}|{{if .Config.Healthcheck}}yes{{end}}' e
q create --name kk busybox
for f in Config.ExposedPorts Config.Healthcheck Config.StopSignal Config.Shell Config.OnBuild Config.Volumes Config.Labels \
    Config.Entrypoint Config.StopTimeout Config.MacAddress State.Health HostConfig.Tmpfs HostConfig.Mounts \
    HostConfig.Sysctls HostConfig.Init HostConfig.StorageOpt ExecIDs SizeRw HostConfig.Nope; do
    c inspect -f "{{.$f}} {{json .$f}}" kk
done
c inspect -f '{{if .State.Health}}{{.State.Health.Status}}{{else}}none{{end}}' kk
