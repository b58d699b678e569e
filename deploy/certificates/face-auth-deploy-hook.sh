#!/bin/sh
# certbot's deploy hook for both balancers: put the renewed certificate where the balancer reads it, let the balancer judge its
# configuration, reload it. Install: `install -m 755 face-auth-deploy-hook.sh /etc/letsencrypt/renewal-hooks/deploy/face-auth`.
# certbot runs it once per renewed certificate, with RENEWED_LINEAGE. Where anything fails, the old certificate stays in place.
set -eu

lineage=${RENEWED_LINEAGE:?certbot sets this: do not run the hook by hand}
balancer=${FACE_AUTH_BALANCER:-$(test -d /etc/haproxy/certs && echo haproxy || echo nginx)}
umask 077  # a private key is never readable by others, not even for a moment

case $balancer in
nginx)
    folder=${FACE_AUTH_CERT_DIR:-/etc/nginx/ssl}
    check=${FACE_AUTH_CHECK:-nginx -t -q}
    reload=${FACE_AUTH_RELOAD:-systemctl reload nginx}
    files="cert.pem key.pem"
    cat "$lineage/fullchain.pem" > "$folder/cert.pem.new"
    cat "$lineage/privkey.pem" > "$folder/key.pem.new"
    ;;
haproxy)
    folder=${FACE_AUTH_CERT_DIR:-/etc/haproxy/certs}
    check=${FACE_AUTH_CHECK:-haproxy -c -q -f /etc/haproxy/haproxy.cfg}
    reload=${FACE_AUTH_RELOAD:-systemctl reload haproxy}
    files="face_auth.pem"
    cat "$lineage/fullchain.pem" "$lineage/privkey.pem" > "$folder/face_auth.pem.new"
    ;;
*)
    echo "FACE_AUTH_BALANCER is $balancer: nginx or haproxy" >&2
    exit 2
    ;;
esac

put_back() {
    for file in $files; do
        if [ -e "$folder/$file.old" ]; then mv "$folder/$file.old" "$folder/$file"; fi
        rm -f "$folder/$file.new"
    done
}
trap put_back EXIT
for file in $files; do
    if [ -e "$folder/$file" ]; then ln -f "$folder/$file" "$folder/$file.old"; fi  # a link, as half a copy must not be put back
    mv "$folder/$file.new" "$folder/$file"
done
if ! $check; then
    echo "the balancer refuses the renewed certificate of $lineage: the old one stays" >&2
    exit 1
fi
if ! $reload; then
    echo "the balancer cannot be reloaded with the renewed certificate of $lineage: the old one stays" >&2
    exit 1
fi
trap - EXIT
for file in $files; do rm -f "$folder/$file.old"; done
