#!/bin/sh
# wrk: detections of one photograph by CLIENTS connections for SECONDS_LONG seconds.
. "$(dirname "$0")/common.sh"
cat > "$folder/load.lua" << LUA
wrk.method = "POST"
local file = assert(io.open("$folder/body.json", "rb")); wrk.body = file:read("*a"); file:close()
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer $key"
LUA
wrk -t 2 -c "$clients" -d "${seconds}s" --timeout 30s --latency -s "$folder/load.lua" "$url/v1/detect" > "$folder/report"
cat "$folder/report"
! grep -qE "Non-2xx|Socket errors" "$folder/report"
