#!/usr/bin/env bash
# Does it work with the Pythons that people have? The README's two commands, in a fresh clone for each Python.
#
# Usage: scripts/pythons.sh [PYTHON ...]
#   PYTHON  a command or a path, such as python3.13; by default every python3.11 to python3.14 on the PATH
# Environment: TESTS, the arguments of pytest instead of the whole suite (-m "not slow", say);
#   RESOLUTION=lowest-direct, for the oldest versions that pyproject.toml allows instead of the newest.
# The output of each is in pythons/NAME.txt; the last lines say which passed.
set -euo pipefail
cd "$(git -C "$(dirname "$0")" rev-parse --show-toplevel)"
pythons=("$@")
if [ ${#pythons[@]} -eq 0 ]; then
    for minor in 11 12 13 14; do
        if command -v "python3.$minor" > /dev/null; then pythons+=("$(command -v "python3.$minor")"); fi
    done
fi
mkdir -p pythons
clones=$(mktemp -d)
trap 'rm -rf "$clones"' EXIT

two_commands() { # in a clone of its own
    git clone --quiet . "$clones/$2"
    cd "$clones/$2"
    export UV_RESOLUTION=${RESOLUTION:-highest}
    make PYTHON="$1" pretrain
    if [ -n "${TESTS:-}" ]; then
        # shellcheck disable=SC2086 # several arguments
        eval ".venv/bin/python -m pytest $TESTS"
    else
        make PYTHON="$1" test
    fi
}

failed=()
for python in "${pythons[@]}"; do
    name=$("$python" -c 'import platform; print(platform.python_version())')
    # A subshell of its own, so that -e holds in it; after `if` it would not.
    set +e
    (set -e; two_commands "$python" "$name") > "pythons/$name.txt" 2>&1
    code=$?
    set -e
    if [ $code -ne 0 ]; then failed+=("$name"); fi
    echo "Python $name: $([ $code -eq 0 ] && echo passed || echo "failed, see pythons/$name.txt")"
    rm -rf "${clones:?}/$name"
done
[ ${#failed[@]} -eq 0 ]
