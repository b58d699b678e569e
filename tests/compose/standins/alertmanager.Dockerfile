# Stands in for prom/alertmanager: Debian's, started by the same options, as the same user.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus-alertmanager && rm -rf /var/lib/apt/lists/* \
 && install -d -o 65534 -g 65534 /alertmanager
ENTRYPOINT ["prometheus-alertmanager"]
