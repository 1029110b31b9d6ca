# docker build -t posext .
# docker run --rm --user "$(id -u)" -v "$PWD/results:/app/results" posext train +pe=yarn
FROM python:3.12-slim
# training is compiled where there is a compiler
RUN apt-get update && apt-get install -y --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY configs configs
COPY posext posext
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements.lock \
    && pip install --no-cache-dir --no-deps .
WORKDIR /app
RUN chmod 777 /app
ENV HOME=/app
ENTRYPOINT ["posext"]
CMD ["--help"]
