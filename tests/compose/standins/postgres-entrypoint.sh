# What postgres:16 does with POSTGRES_USER, POSTGRES_DB and POSTGRES_PASSWORD_FILE.
set -eu
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data/pgdata
if [ ! -s "$data/PG_VERSION" ]; then
    "$bin/initdb" --pgdata "$data" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --encoding UTF8 --locale C.UTF-8 --auth-local trust --auth-host scram-sha-256
    "$bin/pg_ctl" --pgdata "$data" --wait -o "-c listen_addresses=''" start
    "$bin/createdb" --username "$POSTGRES_USER" --host /var/run/postgresql "$POSTGRES_DB" || true
    "$bin/pg_ctl" --pgdata "$data" --wait stop
    echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
fi
exec "$bin/postgres" -D "$data" -c listen_addresses='*'
