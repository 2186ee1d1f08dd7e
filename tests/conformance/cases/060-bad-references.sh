# Wrong names of images.
c run --rm UPPERCASE true
c run --rm 'busybox:' true
c run --rm busybox:bad/tag true
c run --rm localhost:5000/nosuch true
c run --rm 'http://busybox' true
c run --rm ''
c create --name n 'a b'
c inspect ''
c ps -aq
