# pause and unpause.
up box
c pause box
c ps --format '{{.Names}} {{.Status}}'
c inspect -f '{{.State.Status}} {{.State.Paused}}' box
c pause box
c exec box true
c unpause box
c unpause box
c inspect -f '{{.State.Status}}' box
c pause nobody
