# -f elsewhere, --label, --quiet, comments and escapes, heredoc-free oddities.
mkdir ctx other; echo data >ctx/data
printf '# syntax comment\nFROM busybox\n\n# note\nCOPY data /data\nRUN echo "a\\\n b"\n' >other/D
c build -f other/D --label l=1 -t o:1 ctx
s '$CLI build -q -f other/D -t o:2 ctx | cut -c 1-7'
c inspect -f '{{json .Config.Labels}}' o:1
c build -f other/nosuch ctx
printf 'FROM scratch\nCOPY data /\n' >other/S
c build -f other/S -t empty:1 ctx
c run --rm empty:1 /data
c run --rm empty:1
printf 'FROM busybox\nRUN echo one \\\n  two\nCMD echo shell $HOME\n' >other/C
c build -f other/C -t o:3 ctx
c run --rm o:3
