# Sourced by the three scripts: what is sent, where, and how much at most. POSIX sh.
# FACE_AUTH_URL, FACE_AUTH_KEY and FACE_AUTH_CA name another fleet than that of `make run`; one that is not on this machine needs
# FACE_AUTH_ALLOW_REMOTE=yes, as a load test of somebody else's fleet is an attack.
set -eu
photograph=${1:?usage: $0 PHOTOGRAPH}
python=${PYTHON:-.venv/bin/python}
access=${FLEET_RUN_DIR:-.run}/access.json
of() { "$python" -c 'import json,sys; v=json.load(open(sys.argv[1]))
for name in sys.argv[2].split("."): v=v[name]
print(v)' "$access" "$1"; }

url=${FACE_AUTH_URL:-$(of balancer)}
key=${FACE_AUTH_KEY:-$(of keys.client)}
ca=${FACE_AUTH_CA:-$(of ca)}
requests=${REQUESTS:-200}
clients=${CLIENTS:-8}
seconds=${SECONDS_LONG:-10}
host=${url#http*://}
host=${host%%[/?#]*}
case ${host%:*} in  # the whole name: 127.0.0.1.example.com is somebody else's, and so is what follows an @
127.0.0.1 | localhost) ;;
*) test "${FACE_AUTH_ALLOW_REMOTE:-}" = yes || { echo "$url is not on this machine: FACE_AUTH_ALLOW_REMOTE=yes sends it load" >&2; exit 2; } ;;
esac
test "$requests" -le 100000 && test "$clients" -le 256 && test "$seconds" -le 600 || { echo "at most 100000 requests, 256 clients, 600 s" >&2; exit 2; }

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -c 'import base64,json,sys
json.dump({"image": base64.b64encode(open(sys.argv[1],"rb").read()).decode()}, open(sys.argv[2],"w"))' "$photograph" "$folder/body.json"
