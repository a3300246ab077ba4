# Shell functions of ./demo and ./test. POSIX sh; asks nothing; can be run again and again.

# setup EXTRA: an environment in .venv with the project and one of its extras ("" for none), from pinned versions.
setup() {
    if [ ! -x .venv/bin/python ]; then
        python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
            echo "Python 3.11 or newer is needed; this is $(python3 --version)." >&2
            exit 1
        }
        python3 -c 'import ensurepip, venv' 2>/dev/null || {
            echo "Python's venv is missing. On Debian: apt-get install -y python3-venv" >&2
            exit 1
        }
        rm -rf .venv
        python3 -m venv .venv
    fi
    wanted="${1:-plain} $(cksum <pyproject.toml) $(cksum <constraints.txt)"
    for stamp in ".venv/.knockfirst-${1:-plain}" .venv/.knockfirst-dev; do
        [ -f "$stamp" ] && [ "$(cut -d' ' -f2- "$stamp")" = "${wanted#* }" ] && return 0
    done
    echo "Setting up .venv (a minute or two, once) ..." >&2
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-virtualenv \
        -c constraints.txt -e ".${1:+[$1]}"
    echo "$wanted" >".venv/.knockfirst-${1:-plain}"
}

# pywb_oracle: pywb judges our WARC files by replaying them. It wants older libraries than we use, and is GPL: a test
# oracle in an environment of its own.
pywb_oracle() {
    [ -x .venv/oracles/pywb/bin/wayback ] && return 0
    python3 -m venv .venv/oracles/pywb
    .venv/oracles/pywb/bin/python -m pip install --quiet --disable-pip-version-check pywb==2.10.0 setuptools ||
        echo "pywb could not be installed; its replay test will be skipped." >&2
}

# system_tools NAME...: programs that tests and benchmarks compare with. Installed where we may, named where not.
system_tools() {
    missing=""
    for tool in "$@"; do command -v "$tool" >/dev/null 2>&1 || missing="$missing $tool"; done
    [ -z "$missing" ] && return 0
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q $missing >/dev/null && return 0
    fi
    echo "Some tests will be skipped for want of:$missing (on Debian: apt-get install -y$missing)" >&2
}
