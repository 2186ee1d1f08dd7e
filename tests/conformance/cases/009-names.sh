# Names and prefixes of ids.
q create --name alpha busybox
c create --name alpha busybox
c create --name 'bad name' busybox
c create --name x busybox
c create --name /slash busybox
c rename alpha beta
c inspect -f '{{.Name}}' beta
c inspect -f '{{.Name}}' alpha
c rename nobody other
q create --name gamma busybox
c rename beta gamma
c rename beta beta
s 'id=$($CLI inspect -f "{{.Id}}" beta); $CLI inspect -f "{{.Name}}" $(echo $id | cut -c 1-8)'
s 'for i in 1 2 3; do $CLI create busybox; done | wc -l'
s '$CLI ps -a --filter name=_ --format "{{.Names}}" | grep -vE "^[a-z]+_[a-z]+$"'
