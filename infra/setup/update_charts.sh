#!/usr/bin/env bash
# Replace the vendored chart library by another version: infra/setup/update_charts.sh 1.6.32
set -euo pipefail
version=${1:?"usage: $0 VERSION, a version of the npm package uplot"}
here=$(cd "$(dirname "$0")/../.." && pwd)/include/homeostat/figures/health/vendor
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cd "$work"
npm pack --silent "uplot@$version" >/dev/null
tar xzf uplot-*.tgz
cp package/dist/uPlot.iife.min.js "$here/uplot.js"
cp package/dist/uPlot.min.css "$here/uplot.css"
cp package/LICENSE "$here/uplot.LICENSE"
for file in uplot.js uplot.css; do
	sum=$(sha256sum "$here/$file" | cut -d' ' -f1)
	sed -i -E "/^\| \`$file\`/ s/[0-9]+\.[0-9]+\.[0-9]+/$version/; /^\| \`$file\`/ s/[^|]*\|\$/ \`$sum\` |/" "$here/README.md"
done
