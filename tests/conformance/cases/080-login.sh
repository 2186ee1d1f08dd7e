# login to a registry that is not there, and logout.
s 'echo pw | $CLI login -u me --password-stdin localhost:1'
c login -u me --password-stdin
c logout localhost:1
s 'echo pw | $CLI login --password-stdin localhost:1'
