#!/usr/bin/env bash
# The work of `tests/run bare-debian` (see suite.py): BASE and KEEP are its options, the arguments are the command.
#
# Suite, mirror and settings of apt are read from apt; the user's settings of cargo, pip and npm, proxies and
# certificates come along. Everything runs in namespaces of its own for mounts and processes: when this script
# ends, however it ends, all of them are gone. A process that the command leaves behind is a failure.
set -euo pipefail
script=$(readlink -f "$0")
cd "$(dirname "$script")/../.."

die() {
    printf 'tests/run bare-debian: %s\n  try  %s\n' "$1" "$2" >&2
    exit 1
}

# The part inside the new namespaces; process 1 there.
inside() {
    local root=$1 toolchain=$2
    shift 2
    mount -t proc proc "$root/proc"
    mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
    mount -t tmpfs tmpfs "$root/dev/shm"
    mount --bind "$toolchain" "$root/opt/rust"
    mount -o remount,bind,ro "$root/opt/rust"
    local code=0 left=() process command
    chroot "$root" /usr/bin/env -i "${settings[@]}" HOME=/opt/home LANG=C.UTF-8 \
        PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        bash -c 'cd /narrowgate && exec "$@"' bash "$@" || code=$?
    sleep 1 # What was told to end may take a moment.
    for process in "$root"/proc/[0-9]*; do
        # Process 1 is this script; a command line is empty for what has ended already.
        [ "${process##*/}" != 1 ] || continue
        command=$(tr '\0' ' ' 2>/dev/null <"$process/cmdline") || continue
        [ -z "$command" ] || left+=("$command")
    done
    if [ ${#left[@]} -ne 0 ]; then
        printf 'tests/run bare-debian: left behind: %s\n' "${left[@]}" >&2
        [ "$code" -ne 0 ] || code=1
    fi
    exit "$code"
}

# Variables of the user that say where packages come from, for `env`.
settings=()
while IFS= read -r -d '' setting; do
    case ${setting%%=*} in
    CARGO_HOME | CARGO_TARGET_DIR | PIP_FIND_LINKS) ;; # They name folders of this machine.
    *_proxy | *_PROXY | PIP_* | npm_config_* | NPM_CONFIG_* | CARGO_*) settings+=("$setting") ;;
    SSL_CERT_FILE | SSL_CERT_DIR | REQUESTS_CA_BUNDLE | CURL_CA_BUNDLE) settings+=("$setting") ;;
    NODE_EXTRA_CA_CERTS) settings+=("$setting") ;;
    esac
done < <(env -0)

if [ "${1:-}" = "--inside" ]; then
    shift
    inside "$@"
fi

base=${BASE:-} keep=${KEEP:-}

[ "$(id -u)" -eq 0 ] || die "a root can be made by root only" "sudo tests/run bare-debian"
command -v debootstrap >/dev/null || die "debootstrap is missing" "apt-get install debootstrap"
command -v rustc >/dev/null || die "there is no Rust toolchain to take along" "the one that builds narrowgate"
toolchain=$(rustc --print sysroot)
[ -x "$toolchain/bin/cargo" ] && [ "$toolchain" != /usr ] ||
    die "the Rust toolchain in $toolchain has no folder of its own" "one that rustup has installed"

# Where this machine gets Debian from: one line for each of its archives.
archive='$(ORIGIN) $(REPO_URI) $(CODENAME) $(COMPONENT)' # For apt, not for this shell.
sources=$(apt-get indextargets --format "$archive" 'Created-By: Packages' | sed -n 's/^Debian //p' | sort -u)
suite=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
mirror=$(awk -v suite="$suite" '$2 == suite { print $1; exit }' <<<"$sources")
[ -n "$mirror" ] || die "apt knows no mirror of Debian $suite" "apt-get update"

work=$(mktemp -d "${TMPDIR:-/tmp}/bare-debian-XXXXXXXX")
clean() {
    if [ -n "$keep" ]; then
        echo "tests/run bare-debian: kept: $work" >&2
    else
        rm -rf --one-file-system "$work"
    fi
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

bootstrap() {
    echo "tests/run bare-debian: debootstrap $suite"
    local log=$work/debootstrap.log
    debootstrap --variant=minbase --include=gcc,libc6-dev "$suite" "$1" "$mirror" >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        die "debootstrap failed" "debootstrap --variant=minbase $suite $1 $mirror"
    }
}

root=$work/root
if [ -z "$base" ]; then
    bootstrap "$root"
else
    [ -d "$base" ] || bootstrap "$base"
    cp -a "$base" "$root"
fi

# The user's settings: apt's as apt understands them, the others' files, and this machine's own certificates.
awk '{ print "deb", $1, $2, $3 }' <<<"$sources" >"$root/etc/apt/sources.list"
apt-config dump | grep -E '^Acquire::(https?|ftp|socks)::|^Acquire::(Retries|ForceIPv[46]) ' \
    >"$root/etc/apt/apt.conf.d/90-of-this-machine" || true
cp /etc/resolv.conf /etc/hosts "$root/etc/"
take() { # FILE of this machine, its place in the root
    [ ! -f "$1" ] || install -D -m 600 "$1" "$root$2"
}
take "${CARGO_HOME:-$HOME/.cargo}/config.toml" /opt/home/.cargo/config.toml
take /etc/pip.conf /etc/pip.conf
take "$HOME/.config/pip/pip.conf" /opt/home/.config/pip/pip.conf
take "$HOME/.npmrc" /opt/home/.npmrc
npm_settings=$(npm config get globalconfig 2>/dev/null) && take "$npm_settings" /etc/npmrc
for certificate in /usr/local/share/ca-certificates/*.crt; do
    take "$certificate" "$certificate"
done
mkdir -p "$root/opt/rust" "$root/opt/home"

[ -z "$(git status --porcelain)" ] || echo "tests/run bare-debian: what is not committed does not come along" >&2
git clone --quiet --no-hardlinks . "$root/narrowgate"

echo "tests/run bare-debian: $*"
# In the background, so that a signal to this script is handled at once.
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private -- \
    bash "$script" --inside "$root" "$toolchain" "$@" &
child=$!
trap 'kill -KILL "$child" 2>/dev/null || true; wait "$child" || true; clean' EXIT
wait "$child"; exit # On one line: nothing is read of a file that was changed meanwhile.
