# The names of the keys, which scripts rely on.
q create --name box -p 8080:80 -v /data busybox
keys() { python3 -c '
import json, sys
def walk(node, path, depth):
    for key in sorted(node):
        print(path + key)
        if isinstance(node[key], dict) and depth and not key.startswith(("/", "8080", "GraphDriver")):
            walk(node[key], path + key + ".", depth - 1)
document = json.load(sys.stdin)[0]
document.pop("GraphDriver", None)
walk(document, "", 1)
'; }
"$CLI" inspect box | keys
