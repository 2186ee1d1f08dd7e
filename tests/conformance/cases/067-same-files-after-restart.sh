# A container keeps its files over stop and start; a fresh one has none of them.
q run --name keeps busybox sh -c 'cat /note 2>/dev/null; date +%N >>/tmp/n; echo written >/note'
c start -a keeps
c start -a keeps
s '$CLI run --rm busybox cat /note'
