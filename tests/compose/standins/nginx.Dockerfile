# Stands in for nginx:1.28: Debian's nginx.
FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install --yes --no-install-recommends nginx-core && rm -rf /var/lib/apt/lists/* \
 && install -d -o 101 -g 101 /var/log/face-auth
