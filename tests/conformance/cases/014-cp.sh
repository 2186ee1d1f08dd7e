# cp in both directions, files, folders, streams, errors.
q create --name box busybox
echo one >file; mkdir -p dir/sub; echo two >dir/sub/two
c cp file box:/tmp/
c cp dir box:/tmp
c cp dir/. box:/srv
c cp box:/tmp/dir/sub/two out
s 'cat out'
c cp box:/tmp back
s 'find back | sort'
s '$CLI cp box:/tmp/file - | tar -tf -'
s 'tar -cf - file | $CLI cp - box:/home'
s '$CLI cp box:/home/file - | tar -xOf -'
c cp nofile box:/tmp
c cp box:/nofile .
c cp box:/tmp/file /no/such/dir/
c cp file box:/no/such/dir/
c cp file nobody:/tmp
c cp box:/etc/passwd box:/tmp
c cp file other
c cp box:/etc/passwd -q
