#!/usr/bin/env bash
# Installs what the tests need beside a Rust toolchain, for Debian 12: the independent peers that tests/interop
# talks through, a learner of state machines, and programs that the tests run. `tests/run bare-debian` shows that
# nothing is missing.
#
# Started by `tests/run install`, and by every suite that needs it. Run as root for Debian's packages; everything else
# goes to tests/.tools. Running it again is quick and changes nothing. A step that fails ends the script with its name
# and what to try.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin # ldconfig lives there

tests=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${NARROWGATE_TEST_TOOLS:-$tests/.tools}
aiocoap=aiocoap==0.4.17
dtlssocket=DTLSSocket==0.2.3
cbor2=cbor2==6.3.0 # a codec of CBOR that is not ours
python_mbedtls=python-mbedtls==2.10.1 # a wheel with Mbed TLS 2.28.8 inside, for Debian 12's Python too
node_dtls=node-dtls-client@1.1.1 # 2.x wants a newer Node.js than Debian 12 has
build_tools=(gcc libc6-dev make autoconf automake pkg-config python3-dev) # what DTLSSocket is built with
oidc_provider=oidc-provider@8.8.1 # 9.x wants a newer Node.js than Debian 12 has
axe=axe-core@4.14.1
mbedtls_crate=mbedtls-rs-sys # carries the source of Mbed TLS 3.6.5
mbedtls_crate_version=0.3.1

die() {
    printf 'tests/run install: %s\n  try  %s\n' "$1" "$2" >&2
    exit 1
}

# Debian packages, by what each gives. Only the missing ones are installed, and only then the lists are updated.
install_packages() {
    local missing=()
    command -v openssl >/dev/null || missing+=(openssl)
    command -v gnutls-cli >/dev/null || missing+=(gnutls-bin)
    command -v coap-client-openssl >/dev/null && command -v coap-client-gnutls >/dev/null || missing+=(libcoap3-bin)
    grep -q 'libmbedtls\.so\.14 ' <<<"$(ldconfig -p)" || missing+=(libmbedtls14)
    cc -E -include stdio.h -x c /dev/null >/dev/null 2>&1 || missing+=(gcc libc6-dev)
    command -v make >/dev/null || missing+=(make)
    command -v autoreconf >/dev/null || missing+=(autoconf)
    command -v aclocal >/dev/null || missing+=(automake)
    command -v pkg-config >/dev/null || missing+=(pkg-config)
    type -P kill >/dev/null || missing+=(procps) # The shell's own is no program.
    command -v mount >/dev/null || missing+=(mount)
    [ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
    command -v node >/dev/null || missing+=(nodejs)
    command -v strace >/dev/null || missing+=(strace)
    command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core) # the console in it
    compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || missing+=(faketime) # clocks that are wrong
    command -v npm >/dev/null || missing+=(npm)
    command -v python3 >/dev/null || missing+=(python3)
    python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    python3 -c 'import os, sysconfig; assert os.path.exists(sysconfig.get_paths()["include"] + "/Python.h")' \
        2>/dev/null || missing+=(python3-dev)
    [ ${#missing[@]} -eq 0 ] && return

    echo "tests/run install: Debian packages ${missing[*]}"
    [ "$(id -u)" -eq 0 ] || die "these Debian packages are missing: ${missing[*]}" "sudo tests/run install"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q >/dev/null || die "the package lists cannot be updated" "apt-get update"
    apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null ||
        die "apt-get install failed" "apt-get install ${missing[*]}"
}

# aiocoap with tinydtls beneath; DTLSSocket is built from source, with ${build_tools[*]}.
install_aiocoap() {
    local venv=$tools/venv
    "$venv/bin/python" - 2>/dev/null <<'PYTHON' && return
import importlib.metadata as installed, aiocoap, DTLSSocket
assert installed.version("aiocoap") == "0.4.17" and installed.version("DTLSSocket") == "0.2.3"
PYTHON
    echo "tests/run install: $aiocoap, $dtlssocket"
    rm -rf "$venv"
    python3 -m venv "$venv" || die "no virtual environment for Python" "apt-get install python3-venv"
    "$venv/bin/pip" install -q --disable-pip-version-check "$aiocoap" "$dtlssocket" ||
        die "pip cannot install aiocoap and DTLSSocket; the reason stands above" \
            "apt-get install ${build_tools[*]}   where it cannot build; $venv/bin/pip config debug   where not fetch"
}

# Into the environment of aiocoap, which has to be there.
install_python_mbedtls() {
    local venv=$tools/venv
    "$venv/bin/python" - 2>/dev/null <<'PYTHON' && return
import importlib.metadata as installed, mbedtls.tls
assert installed.version("python-mbedtls") == "2.10.1"
PYTHON
    echo "tests/run install: $python_mbedtls"
    "$venv/bin/pip" install -q --disable-pip-version-check "$python_mbedtls" ||
        die "pip cannot install python-mbedtls; the reason stands above" "$venv/bin/pip config debug"
}

# Into the environment of aiocoap, too.
install_cbor2() {
    local venv=$tools/venv
    "$venv/bin/python" - 2>/dev/null <<'PYTHON' && return
import importlib.metadata as installed, cbor2
assert installed.version("cbor2") == "6.3.0"
PYTHON
    echo "tests/run install: $cbor2"
    "$venv/bin/pip" install -q --disable-pip-version-check "$cbor2" ||
        die "pip cannot install cbor2; the reason stands above" "$venv/bin/pip config debug"
}

install_node_dtls() {
    local folder=$tools/node
    grep -qs "\"version\": \"${node_dtls##*@}\"" "$folder/node_modules/node-dtls-client/package.json" && return
    echo "tests/run install: $node_dtls"
    mkdir -p "$folder"
    npm install --silent --no-audit --no-fund --prefix "$folder" "$node_dtls" >/dev/null ||
        die "npm cannot install $node_dtls" "npm install --prefix $folder $node_dtls   it says why"
}

# A provider of OpenID Connect, in a folder of its own.
install_oidc_provider() {
    local folder=$tools/oidc
    grep -qs "\"version\": \"${oidc_provider##*@}\"" "$folder/node_modules/oidc-provider/package.json" && return
    echo "tests/run install: $oidc_provider"
    mkdir -p "$folder"
    npm install --silent --no-audit --no-fund --prefix "$folder" "$oidc_provider" >/dev/null ||
        die "npm cannot install $oidc_provider" "npm install --prefix $folder $oidc_provider   it says why"
}

# The learner of state machines, and the cryptography of its client, in an environment of their own.
install_learning() {
    local venv=$tools/learning-venv
    "$venv/bin/python" -c 'import aalpy, cryptography' 2>/dev/null && return
    echo "tests/run install: AALpy, cryptography"
    rm -rf "$venv"
    python3 -m venv "$venv" || die "no virtual environment for Python" "apt-get install python3-venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$tests/learning/requirements.txt" ||
        die "pip cannot install AALpy; the reason stands above" "$venv/bin/pip config debug"
}

# What makes requests of the API's document, and validators of schemas, in an environment of their own.
install_schema() {
    local venv=$tools/schema-venv
    "$venv/bin/python" - 2>/dev/null <<'PYTHON' && return
import importlib.metadata as installed, jsonschema_rs, schemathesis
assert installed.version("schemathesis") == "4.32.5"
PYTHON
    echo "tests/run install: schemathesis"
    rm -rf "$venv"
    python3 -m venv "$venv" || die "no virtual environment for Python" "apt-get install python3-venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$tests/schema/requirements.txt" ||
        die "pip cannot install schemathesis; the reason stands above" "$venv/bin/pip config debug"
}

# What drives Debian's Chromium, in an environment of its own.
install_playwright() {
    local venv=$tools/console-venv
    "$venv/bin/python" - 2>/dev/null <<'PYTHON' && return
import importlib.metadata as installed, playwright
assert installed.version("playwright") == "1.65.2"
PYTHON
    echo "tests/run install: playwright"
    rm -rf "$venv"
    python3 -m venv "$venv" || die "no virtual environment for Python" "apt-get install python3-venv"
    "$venv/bin/pip" install -q --disable-pip-version-check -r "$tests/shots/requirements.txt" ||
        die "pip cannot install playwright; the reason stands above" "$venv/bin/pip config debug"
}

# It looks for what keeps people out of a page.
install_axe() {
    local folder=$tools/axe
    grep -qs "\"version\": \"${axe##*@}\"" "$folder/node_modules/axe-core/package.json" && return
    echo "tests/run install: $axe"
    mkdir -p "$folder"
    npm install --silent --no-audit --no-fund --prefix "$folder" "$axe" >/dev/null ||
        die "npm cannot install $axe" "npm install --prefix $folder $axe   it says why"
}

# Mbed TLS 3.6 as one shared library. Debian has 2.28, which lacks the Connection ID of RFC 9146.
build_mbedtls() {
    local library=$tools/mbedtls/libmbedtls.so stamp=$tools/mbedtls/$mbedtls_crate-$mbedtls_crate_version
    [ -e "$library" ] && [ -e "$stamp" ] && return
    echo "tests/run install: Mbed TLS from $mbedtls_crate $mbedtls_crate_version"
    build=$(mktemp -d)
    # Of cargo's verbs this one fetches a single crate without what it depends on.
    (cd "$build" && cargo info -q "$mbedtls_crate@$mbedtls_crate_version" >/dev/null) ||
        die "cargo cannot fetch $mbedtls_crate" "cargo info $mbedtls_crate@$mbedtls_crate_version"
    local source
    source=$(find "${CARGO_HOME:-$HOME/.cargo}"/registry/src -maxdepth 2 -name "$mbedtls_crate-$mbedtls_crate_version" | head -n 1)
    [ -d "$source/mbedtls/library" ] || die "the source of Mbed TLS is not where cargo puts it" "cargo info $mbedtls_crate@$mbedtls_crate_version"
    source=$source/mbedtls
    local everest=$source/3rdparty/everest p256=$source/3rdparty/p256-m
    (
        cd "$build"
        printf '%s\n' "$source"/library/*.c "$everest"/library/{everest,x25519,Hacl_Curve25519_joined}.c \
            "$p256"/{p256-m_driver_entrypoints,p256-m/p256-m}.c |
            xargs -P "$(nproc)" -n 8 cc -w -O1 -fPIC -c -I"$source/include" -I"$source/library" \
                -I"$everest"/include{,/everest,/everest/kremlib} -I"$p256"{,/p256-m}
        cc -shared -o libmbedtls.so ./*.o
    ) || die "Mbed TLS does not compile" "a C compiler: apt-get install gcc libc6-dev"
    mkdir -p "$tools/mbedtls"
    mv "$build/libmbedtls.so" "$library"
    touch "$stamp"
}

# promtool alone out of Debian's package: the package itself would start a server.
install_promtool() {
    local folder=$tools/prometheus
    "$folder/promtool" --version >/dev/null 2>&1 && return
    echo "tests/run install: promtool"
    build=$(mktemp -d)
    fetch_package prometheus || { apt-get update -q >/dev/null && fetch_package prometheus; } ||
        die "apt-get cannot fetch prometheus" "apt-get update; apt-get download prometheus"
    mkdir -p "$folder"
    dpkg-deb --fsys-tarfile "$build"/prometheus_*.deb | tar -x -C "$folder" --strip-components=3 ./usr/bin/promtool ||
        die "the package prometheus has no promtool" "dpkg-deb --contents prometheus_*.deb"
    rm -r "$build"
    build=
}

# Into the folder $build; the user _apt could not write there.
fetch_package() {
    (cd "$build" && apt-get download -q -o APT::Sandbox::User=root "$1" >/dev/null 2>&1)
}

build=
trap '[ -z "$build" ] || rm -rf "$build"' EXIT # Also after a failure, and at Ctrl-C or SIGTERM.
mkdir -p "$tools"
exec 9>"$tools/.lock"
flock 9 # Two test runs at once must not build into the same folder.
install_packages
command -v cargo >/dev/null || die "cargo is missing" "the Rust toolchain that builds narrowgate"
install_aiocoap
install_python_mbedtls
install_cbor2
install_node_dtls
install_oidc_provider
install_learning
install_schema
install_playwright
install_axe
install_promtool
build_mbedtls
echo "tests/run install: all tools are there ($tools)"
