# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# What a machine boots from, in build/vm: a disk with Debian's packages, a kernel with its modules,
# and an initial file system that mounts the disk. Each is made once; a change of what goes in, or
# of its recipe here, makes it again.

# The first that maps directly through FUSE as ingot wants it.
readonly kernel_minimum=6.12
# Of the packages beside those that builds and tests want.
readonly guest_packages=(kmod ndctl daxctl iproute2 cmake)
# To reach the disk and the shared folders; everything else is loaded by the machine itself.
readonly boot_modules=(virtio_pci virtio_blk crc32c_generic crc32c_intel ext4 9pnet_virtio 9p
    overlay)

# make_disk: sets disk.
make_disk() {
    local codename recipe
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    local -a names
    mapfile -t names < <("$root/scripts/setup" --list-run)
    names+=("${guest_packages[@]}")
    recipe=$(printf '%s\n' "$codename" "${names[@]}" |
        sha256sum - "$root/scripts/vm_lib/image.sh" | sha256sum)
    disk=$cache/disk-${recipe:0:12}.ext4
    [[ ! -e $disk ]] || return 0
    say "making the disk from packages of $codename; some minutes, once"
    rm -rf --one-file-system "$cache"/disk-* "$cache/tree"
    local uri
    for uri in $(archive_uris); do
        # Its mounts are below the tree: in a namespace of their own they go with it.
        if unshare --mount --propagation private \
            mmdebstrap --quiet --variant=apt --components=main --mode=root \
            --include="$(IFS=,; echo "${names[*]}")" "$codename" "$cache/tree" "$uri" \
            >"$cache/disk.log" 2>&1; then
            break
        fi
        rm -rf --one-file-system "$cache/tree"
    done
    [[ -d $cache/tree ]] || { tail -n 20 "$cache/disk.log" >&2; fail "mmdebstrap failed"; }
    rm -rf "$cache"/tree/var/{cache/apt,lib/apt/lists}
    # Read-only in the machine, so it needs no room and no journal.
    local mib
    mib=$(($(du -sm "$cache/tree" | cut -f 1) * 11 / 10 + 64))
    mke2fs -q -t ext4 -O ^has_journal -m 0 -d "$cache/tree" "$disk.new" "${mib}M" \
        >>"$cache/disk.log" 2>&1 || { tail -n 20 "$cache/disk.log" >&2; fail "mke2fs failed"; }
    rm -rf --one-file-system "$cache/tree"
    mv "$disk.new" "$disk"
}

# (Errors are passed on by hand: where its caller looks at its status, bash ends nothing by itself.)
unpack_kernel() {
    local work=$1 folder=$2 version
    rm -rf "$folder"
    dpkg-deb -x "$work"/linux-image-*.deb "$work/tree" || return 1
    version=$(basename "$work"/tree/boot/vmlinuz-*)
    # kmod looks in lib or in usr/lib, as it was built; packages have either.
    mkdir -p "$folder/lib" "$folder/usr" && ln -s ../lib "$folder/usr/lib" &&
        mv "$work/tree/boot/$version" "$folder/vmlinuz" &&
        mv "$(find "$work/tree" -type d -path '*lib/modules')" "$folder/lib/modules" &&
        depmod -b "$folder" "${version#vmlinuz-}" &&
        echo "${version#vmlinuz-}" >"$folder/version" # the last: it is complete
}

# fetch_kernel SUITE FOLDER: unpacks its kernel there; fails if there is none that is new enough.
fetch_kernel() {
    local suite=$1 folder=$2 work=$cache/kernel-work log=$cache/kernel.log version package
    rm -rf "$work"
    mkdir -p "$work"
    open_suite "$work" deb "$suite" "$log" || return 1
    version=$(apt-cache "${suite_options[@]}" show linux-image-amd64 2>>"$log" |
        awk '$1 == "Version:" { print $2; exit }')
    dpkg --compare-versions "${version:-0}" ge "$kernel_minimum" || return 1
    package=$(apt-cache "${suite_options[@]}" depends linux-image-amd64 |
        awk '$1 == "Depends:" { print $2; exit }')
    say "fetching the kernel $package $version from $suite"
    (cd "$work" && apt-get -qq "${suite_options[@]}" download "$package") >>"$log" 2>&1 || return 1
    unpack_kernel "$work" "$folder" || return 1
    rm -rf "$work"
}

# make_kernel: sets kernel, a folder with vmlinuz, version, lib/modules and initramfs.
make_kernel() {
    local codename suite
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
    local -a suites=("$codename" "$codename-backports" trixie testing)
    [[ -z $kernel_suite ]] || suites=("$kernel_suite")
    kernel=$cache/kernel-${kernel_suite:-default}
    if [[ ! -e $kernel/version ]]; then
        for suite in "${suites[@]}"; do
            fetch_kernel "$suite" "$kernel" && break
        done
        [[ -e $kernel/version ]] || fail "no kernel >= $kernel_minimum in ${suites[*]}"
    fi
}

# The modules as plain numbered files: a shell loads them in that order.
make_initramfs() {
    local version tree=$cache/initramfs count=0 module path
    version=$(<"$kernel/version")
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,dev,proc,sys,modules,lower,upper,new}
    cp /bin/busybox "$tree/bin/busybox"
    install -m 755 "$root/scripts/vm_lib/initramfs_init" "$tree/init"
    for module in "${boot_modules[@]}"; do
        # What isn't there is built in.
        for path in $(modprobe -d "$kernel" -S "$version" --show-depends "$module" 2>/dev/null |
            awk '$1 == "insmod" { print $2 }'); do
            [[ ! -e $(echo "$tree"/modules/*."$(basename "${path%%.ko*}")".ko) ]] || continue
            count=$((count + 1))
            local to
            to=$(printf '%s/modules/%03d.%s' "$tree" "$count" "$(basename "${path%.xz}")")
            case $path in
                *.xz) xz -dc "$path" >"$to" ;;
                *) cp "$path" "$to" ;;
            esac
        done
    done
    ((count > 0)) || fail "no modules were found in $kernel"
    (cd "$tree" && find . | cpio --quiet -o -H newc) >"$kernel/initramfs.new"
    mv "$kernel/initramfs.new" "$kernel/initramfs" # a machine that starts has the old one or this
    rm -rf "$tree"
}

make_machine() {
    "$root/scripts/setup" --quiet --vm
    mkdir -p "$cache"
    exec 8>"$cache/lock"
    flock 8 # two started at once: the second finds the first one's result
    make_disk
    make_kernel
    make_initramfs
    exec 8>&-
}
