# build: what goes wrong and how it is told.
c build .
printf 'FROM busybox\nRUN exit 5\n' >Dockerfile
c build .
printf 'FROM busybox\nRUN no-such-program\n' >Dockerfile
c build .
printf 'NONSENSE x\n' >Dockerfile
c build .
printf 'RUN x\n' >Dockerfile
c build .
printf '' >Dockerfile
c build .
printf 'FROM busybox\nFROBNICATE x\n' >Dockerfile
c build .
printf 'FROM busybox\nENV\n' >Dockerfile
c build .
printf 'FROM busybox\nEXPOSE eighty\n' >Dockerfile
c build .
printf 'FROM busybox\nCOPY one\n' >Dockerfile
c build .
c build -t Bad:Name .
c build /no/such/dir
c build
c images -q --filter dangling=true
