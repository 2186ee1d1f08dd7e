# inspect -f: the templates people use.
up box --label a=1 --label b=two -e K=v -w /tmp --hostname alpha
c inspect -f '{{.Config.Hostname}} {{.Config.Image}} {{.Config.WorkingDir}}' box
c inspect -f '{{json .Config.Labels}}' box
c inspect -f '{{.Path}} {{json .Args}}' box
c inspect -f '{{range .Config.Env}}{{println .}}{{end}}' box
c inspect -f '{{.NetworkSettings.IPAddress}} {{.NetworkSettings.Gateway}} {{.NetworkSettings.IPPrefixLen}}' box
c inspect -f '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{$v.Gateway}}{{end}}' box
c inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.NetworkMode}} {{.HostConfig.LogConfig.Type}}' box
c inspect -f '{{.State.Status}} {{.State.Paused}} {{.State.OOMKilled}} {{.State.Dead}} {{.RestartCount}}' box
c inspect -f '{{if .State.Running}}yes{{else}}no{{end}}' box
c inspect -f '{{len .Mounts}} {{index .Config.Labels "b"}}' box
c inspect -f '{{.NoSuchField}}' box
c inspect -f '{{.Name' box
c inspect -f '{{.Driver}} {{.Platform}}' box
c inspect nobody
c inspect --type image nobody
c inspect --type container busybox
c inspect -f '{{.Name}}' box nobody
c inspect -f '{{json .State.Status}} {{upper .Name}} {{join .Args "|"}}' box
