# commit: changes, author, message; the new image runs.
q run --name box busybox sh -c 'echo saved >/saved'
s '$CLI commit --author "A <a@b>" --message "note" box kept:v1'
c inspect -f '{{.Author}} {{.Comment}} {{json .Config.Cmd}}' kept:v1
c run --rm kept:v1 cat /saved
s '$CLI commit --change "CMD [\"echo\", \"changed\"]" --change "ENV A=b" --change "EXPOSE 90" box kept:v2'
c run --rm kept:v2
c inspect -f '{{json .Config.Env}} {{json .Config.ExposedPorts}}' kept:v2
s '$CLI commit box'
c commit nobody x
c commit box Bad:Name
c commit --change 'RUN x' box bad
s '$CLI history --format "{{.CreatedBy}} | {{.Comment}}" kept:v1'
