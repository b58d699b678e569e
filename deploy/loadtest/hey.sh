#!/bin/sh
# hey: REQUESTS detections of one photograph by CLIENTS clients. It cannot be given a CA of one's own: that goes into SSL_CERT_FILE.
. "$(dirname "$0")/common.sh"
SSL_CERT_FILE=$ca hey -n "$requests" -c "$clients" -t 30 -m POST -D "$folder/body.json" -T application/json \
    -H "Authorization: Bearer $key" "$url/v1/detect" > "$folder/report"
cat "$folder/report"
grep -q "\[200\]" "$folder/report" && ! grep -q "Error distribution" "$folder/report" && ! grep -qE "\[[45][0-9][0-9]\]" "$folder/report"
