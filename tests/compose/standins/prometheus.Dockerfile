# Stands in for prom/prometheus: Debian's, started by the same options, as the same user.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus && rm -rf /var/lib/apt/lists/* \
 && install -d -o 65534 -g 65534 /prometheus
ENTRYPOINT ["prometheus"]
