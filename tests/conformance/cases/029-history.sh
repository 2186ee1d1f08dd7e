# history of a pulled image.
c history --format '{{.CreatedBy}}|{{.Comment}}' busybox
c history -q hello-world
c history --no-trunc --format '{{.CreatedBy}}' hello-world
s '$CLI history busybox | head -1'
c history nosuch
