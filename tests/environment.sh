# Sourced by run.sh and tests/run.sh: a virtual environment in .venv with what a requirements file names.

prepare_environment() {
  local requirements=$1 base=${PYTHON:-python3} stamp
  "$base" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "Python 3.10 or newer is needed; set PYTHON=/path/to/python3" >&2
    exit 2
  }
  python=.venv/bin/python
  [ -x "$python" ] || "$base" -m venv .venv
  # This installs once, and again only when the requirements change.
  stamp=.venv/installed-$(cat requirements.txt "$requirements" | cksum | cut -d ' ' -f 1)
  [ -f "$stamp" ] && return
  echo "installing $requirements into .venv, which takes about two minutes"
  "$python" -m pip install --disable-pip-version-check -r "$requirements"
  touch "$stamp"
}
