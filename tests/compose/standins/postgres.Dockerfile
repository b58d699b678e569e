# Stands in for postgres:16: Debian's PostgreSQL, started by the same variables, as the same user.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* \
 && groupmod --gid 999 postgres && usermod --uid 999 postgres \
 && install -d -o postgres -g postgres /var/lib/postgresql/data /run/postgresql && chown -R postgres:postgres /var/lib/postgresql /run/postgresql
COPY postgres-entrypoint.sh /usr/local/bin/
USER postgres
ENTRYPOINT ["sh", "/usr/local/bin/postgres-entrypoint.sh"]
