# By digest; several tags at once.
digest=$("$CLI" images --digests --format '{{.Digest}}' hello-world)
c pull hello-world@"$digest"
s "\$CLI run --rm hello-world@$digest | head -2"
c pull -a localhost:5000/library/hello-world
c images localhost:5000/library/hello-world --format '{{.Repository}}:{{.Tag}}'
