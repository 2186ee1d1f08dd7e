# Nobody listens, or one may not.
c -H unix:///no/such.sock ps
c -H unix:///no/such.sock version
c -H nonsense://x ps
c -H tcp://127.0.0.1:1 ps
