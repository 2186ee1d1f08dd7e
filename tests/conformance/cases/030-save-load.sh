# save and load through a file and a stream.
q tag hello-world saved:v1
c save -o out.tar saved:v1
s 'tar -tf out.tar | grep -c -E "manifest.json|repositories"'
q rmi saved:v1
c load -i out.tar
s '$CLI run --rm saved:v1 | head -2'
s '$CLI save saved:v1 | $CLI load'
c load -i nosuch.tar
s 'echo nonsense | $CLI load'
c save nosuch
c save -o /no/such/dir/x saved:v1
s '$CLI save -q saved:v1'
