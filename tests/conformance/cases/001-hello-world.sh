# The first thing anyone types: the image is pulled, told on stderr, and a second run is silent about it.
q rmi -f hello-world
s '$CLI run hello-world | head -3'
s '$CLI run hello-world | head -3'
