# COPY and ADD: wildcards, folders, ownership, archives, .dockerignore.
mkdir -p src/deep; echo a >src/a.txt; echo b >src/b.md; echo c >src/deep/c.txt; echo d >ignored.log
tar -cf arch.tar -C src a.txt; gzip -k arch.tar
printf '*.log\nsrc/*.md\n!keep.log\n' >.dockerignore; echo k >keep.log
cat >Dockerfile <<'D'
FROM busybox
COPY src /src
COPY src/*.txt /flat/
ADD arch.tar.gz /un/
ADD src/a.txt /added/
COPY --chown=nobody:nogroup src/a.txt /owned
COPY . /all
RUN find /src /flat /un /added /all -type f | sort; stat -c '%U %G' /owned
D
c build -t files .
cat >Dockerfile <<'D'
FROM busybox
COPY nothere /
D
c build .
cat >Dockerfile <<'D'
FROM busybox
COPY ../outside /
D
c build .
cat >Dockerfile <<'D'
FROM busybox
COPY src/a.txt src/deep /notslash
D
c build .
