# diff: A, C and D lines.
q run --name box busybox sh -c 'echo x >/new; rm /etc/group; echo y >>/etc/passwd; mkdir /home/d; touch /home/d/f'
s '$CLI diff box | sort'
q create --name untouched busybox
c diff untouched
c diff nobody
