# ONBUILD triggers, --no-cache, and that one image serves as parent of another.
printf 'FROM busybox\nONBUILD RUN echo triggered\nONBUILD COPY f /f\n' >Dockerfile
c build -t parent .
c inspect -f '{{json .Config.OnBuild}}' parent
echo x >f
printf 'FROM parent\nRUN cat /f\n' >D2
c build -f D2 -t child .
c inspect -f '{{json .Config.OnBuild}}' child
printf 'FROM busybox\nRUN echo one\n' >Dockerfile
q build -t cached .
c build --no-cache -t cached2 .
s 'printf "FROM busybox\nRUN echo from stdin\n" | $CLI build -t stdin -'
c build --rm=false -t keeps -f D2 .
