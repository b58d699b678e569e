#!/bin/sh
# ApacheBench (apache2-utils): REQUESTS detections of one photograph by CLIENTS clients, over kept connections.
. "$(dirname "$0")/common.sh"
ab -q -k -t "$seconds" -n "$requests" -c "$clients" -s 30 -p "$folder/body.json" -T application/json -H "Authorization: Bearer $key" \
    "$url/v1/detect" > "$folder/report"
cat "$folder/report"
! grep -q "Non-2xx responses" "$folder/report"
