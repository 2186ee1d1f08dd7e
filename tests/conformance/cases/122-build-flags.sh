# Flags of build that reach its steps, and those that are refused.
cat >Dockerfile <<'D'
FROM busybox
ARG x=1
ARG y
RUN echo "[$x] [$y]"; grep -c foo /etc/hosts; df -m /dev/shm | tail -1; grep files /proc/self/limits; ls /sys/class/net
D
c build --add-host foo:1.2.3.4 --shm-size 32m --ulimit nofile=100:200 --network none --cpu-shares 100 .
c build --platform linux/amd64 --ulimit nofile=100:200 .
c build -q --build-arg x --build-arg y --build-arg z .
c build --build-arg x --build-arg y --build-arg z .
s 'y=fromenv $CLI build --no-cache --build-arg x= --build-arg y .'
c build --label 'a b=c' .
c build --label =c .
c build --ulimit nofile=3:2 .
c build --ulimit nope=3 .
s ': | $CLI build -'
for word in '${e?gone}' '${e:?gone}' '${e:?}' '${s?gone}' '${s:?}' '${s:-d}${s:+a}${e:-d}${e:+a}'; do
    printf 'FROM busybox\nENV s=\nLABEL l=%s\n' "$word" >Dockerfile
    c build .
done
printf 'FROM busybox\nWORKDIR /etc/passwd\n' >Dockerfile
c build .
