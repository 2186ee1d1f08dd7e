# search without a network: the engine says it can't be reached.
c search
c search --limit 0 x
c search --limit 101 x
