# logs with its options.
q run --name talk busybox sh -c 'for i in 1 2 3 4 5; do echo line $i; done; sleep 0.2; echo oops >&2'
c logs talk
c logs --tail 2 talk
c logs -n 0 talk
c logs --tail all talk
s '$CLI logs -t talk | cut -d " " -f 2-'
c logs --since 2100-01-01T00:00:00Z talk
c logs --until 2001-01-01T00:00:00Z talk
s '$CLI logs -f talk 2>/dev/null | tail -1'
c logs nobody
c logs --tail nonsense talk
c logs --details talk
q run -d --name slow busybox sh -c 'for i in 1 2 3; do echo tick $i; sleep 0.2; done'
c logs -f slow
q run --name quiet --log-driver none busybox echo hidden
c logs quiet
