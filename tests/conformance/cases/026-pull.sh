# pull: fresh, up to date, quiet, wrong names.
q rmi -f hello-world
c pull hello-world
c pull hello-world
c pull -q hello-world
c pull library/hello-world:linux
c pull localhost:5000/library/hello-world:latest
c pull localhost:5000/no/such
c pull localhost:5000/library/hello-world:nosuch
c pull UPPER
c pull 'a b'
c pull hello-world@sha256:short
c pull
c pull localhost:1/closed
