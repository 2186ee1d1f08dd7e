# Several names in one command keep going after an error.
up aa
up bb
c stop -t 1 aa nobody bb
c start aa nobody bb
c restart -t 1 aa bb
c kill aa bb
c inspect -f '{{.Name}}' aa nobody bb
c rm aa nobody bb
