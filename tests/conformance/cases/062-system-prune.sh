# system prune asks and tells.
q run --name done busybox true
q network create unused
s 'echo n | $CLI system prune'
s '$CLI system prune -f | grep -v -E "^(deleted|untagged)"'
c ps -aq
c network ls --filter type=custom -q
