# Two user-defined networks don't reach each other; internal ones have no way out.
q network create iso1
q network create iso2
q network create --internal inside
up aa --network iso1
up bb --network iso2
up dd --network inside
address=$("$CLI" inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' bb)
s "\$CLI exec aa ping -c 1 -W 1 $address >/dev/null"
s '$CLI exec dd ip route | grep -c default'
s '$CLI exec aa ip route | grep -c default'
