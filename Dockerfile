FROM python:3.12-slim AS build
WORKDIR /src
COPY scripts/uv.txt scripts/uv.txt
RUN pip install --no-cache-dir --require-hashes -r scripts/uv.txt
COPY pyproject.toml uv.lock README.md LICENSE ./
ENV UV_PROJECT_ENVIRONMENT=/opt/graphook UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN uv sync --frozen --no-default-groups --no-install-project
COPY graphook graphook
COPY graphql graphql
COPY models models
COPY resolvers resolvers
COPY schema schema
COPY workers workers
RUN uv sync --frozen --no-default-groups --no-editable

FROM python:3.12-slim
RUN useradd --system --home-dir /var/lib/graphook --create-home graphook
COPY --from=build /opt/graphook /opt/graphook
ENV PATH=/opt/graphook/bin:$PATH PYTHONUNBUFFERED=1 GRAPHOOK_HOST=0.0.0.0 GRAPHOOK_PORT=8000
USER graphook
WORKDIR /var/lib/graphook
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["graphook"]
CMD ["serve"]
