# shellcheck shell=bash
# What the scripts share: one-line errors with their mend, and packages of the distribution that are installed only where missing.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
me=${0##*/}

# Exit codes of <sysexits.h>, as gatewayd and gatewayctl use them.
EX_USAGE=64 EX_UNAVAILABLE=69 EX_SOFTWARE=70 EX_OSFILE=72 EX_CANTCREAT=73 EX_NOPERM=77

die() { # code, what happened and why, mend
    local code=$1
    printf '%s: %s: %s\n' "$me" "$2" "$3" >&2
    exit "$code"
}

say() { printf '%s: %s\n' "$me" "$*" >&2; }

# need_packages PACKAGE=PATH...: installs the packages whose path is not there. Nothing is fetched, nothing printed, when all are.
need_packages() {
    local pair missing=()
    for pair; do
        [ -e "${pair#*=}" ] || missing+=("${pair%%=*}")
    done
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null ||
        die $EX_UNAVAILABLE "missing ${missing[*]}, and this is no Debian" "install them with this system's package manager"
    [ "$(id -u)" -eq 0 ] ||
        die $EX_NOPERM "missing ${missing[*]}" "run: sudo apt-get install ${missing[*]}"
    say "installing ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { install_packages "${missing[@]}" ||
        { apt-get update -qq && install_packages "${missing[@]}"; }; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        die $EX_UNAVAILABLE "apt-get could not install ${missing[*]} (its last words above)" "install them by hand and try again"
    fi
    rm -f "$log"
}

install_packages() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; }

# What gatewayd needs at run time: the key-value store's library and the mount tools.
need_runtime() {
    need_packages "librocksdb7.8=/usr/lib/$(uname -m)-linux-gnu/librocksdb.so.7.8" fuse3=/usr/bin/fusermount3
}

# The .NET SDK comes from Microsoft's packages or the distribution's; which one is not for a script to decide.
need_dotnet() {
    command -v dotnet >/dev/null ||
        die $EX_UNAVAILABLE "the .NET 10 SDK is not installed (no dotnet in PATH)" "install it from https://dotnet.microsoft.com/download or the package dotnet-sdk-10.0"
    dotnet --list-sdks | grep -q '^10\.' ||
        die $EX_UNAVAILABLE "dotnet is there, but no SDK of version 10" "install the package dotnet-sdk-10.0"
}
