# The parts of an image's document.
c image inspect -f '{{json .RepoTags}} {{.Os}}/{{.Architecture}} {{json .Config.Cmd}}' busybox
c image inspect -f '{{json .Config.Env}} {{.RootFS.Type}} {{len .RootFS.Layers}}' busybox
c inspect -f '{{json .Config.Cmd}} {{.Id}}' hello-world
c image inspect -f '{{.Config.WorkingDir}} {{.Created}}' hello-world
s '$CLI image inspect busybox | grep -o "^        \"[A-Za-z]*\"" | sort'
