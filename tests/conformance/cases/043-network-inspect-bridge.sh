# The default bridge, key by key.
c network inspect -f '{{json .Options}}' bridge
c network inspect -f '{{json .IPAM}} {{.Scope}} {{.Driver}} {{.Attachable}} {{.Ingress}} {{.ConfigOnly}}' bridge
up box
c network inspect -f '{{range .Containers}}{{.Name}} {{.IPv4Address}} [{{.IPv6Address}}]{{end}}' bridge
s '$CLI network inspect bridge | grep -o "^        \"[A-Za-z0-9]*\"" | sort'
s '$CLI network inspect host none -f "{{.Name}} {{.Driver}} {{json .IPAM.Config}}"'
