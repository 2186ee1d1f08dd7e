# version and info, the stable parts.
s '$CLI version --format "{{.Server.Os}} {{.Server.Arch}}"'
s '$CLI version | grep -E "^(Client|Server)" | cut -d : -f 1'
s '$CLI info --format "{{.OSType}} {{.Architecture}} {{.Driver}} {{.LoggingDriver}} {{.CgroupVersion}}"'
s '$CLI info --format "{{.Containers}} {{.ContainersRunning}} {{.ContainersPaused}} {{.ContainersStopped}}"'
s '$CLI --version | cut -d " " -f 1,2'
s '$CLI -v | cut -d " " -f 1,2'
s '$CLI info | grep -E "^ (Containers|Images|Storage Driver|Logging Driver|Cgroup Version|Plugins|Operating System|OSType|Architecture|CPUs)" | cut -d : -f 1'
