#!/bin/sh
# The tour of the README, on a project in a folder (default: demo). Run again, it starts afresh.
set -eu

folder="${1:-demo}"
mkdir -p "$folder"
cd "$folder"
if [ -d .envpanel ]; then
    # Built environments are read-only.
    chmod -R u+w .envpanel
    rm -rf .envpanel
fi
export ENVPANEL_HOME="$PWD/.envpanel"

say() { printf '\n\033[1m$ %s\033[0m\n' "$*"; }

say envpanel list
envpanel list

say 'envpanel clone python-feature-pipeline churn-features --description "churn, team A"'
envpanel clone python-feature-pipeline churn-features --description "churn, team A"

say 'envpanel install churn-features "rapidfuzz>=3" cowsay -m "fuzzy joins"'
envpanel install churn-features "rapidfuzz>=3" cowsay -m "fuzzy joins"

say envpanel history churn-features
envpanel history churn-features

say envpanel diff churn-features 1 2
envpanel diff churn-features 1 2

say envpanel restore churn-features 1
envpanel restore churn-features 1

say 'envpanel run churn-features -- python -c "import rapidfuzz"   # gone after the restore'
if envpanel run churn-features -- python -c "import rapidfuzz"; then
    echo "rapidfuzz is still there, and should not be" >&2
    exit 1
fi

say 'envpanel run churn-features@2 -- python -c "import rapidfuzz; print(rapidfuzz.__version__)"   # r2 still has it'
envpanel run churn-features@2 -- python -c "import rapidfuzz; print(rapidfuzz.__version__)"

printf '\nThe project is in %s: try  envpanel --help\n' "$PWD"
