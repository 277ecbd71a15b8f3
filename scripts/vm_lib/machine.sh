# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# One run of qemu. Memory is a file, so that the persistent part of it outlives the machine as long
# as the caller wants: power that fails is a qemu that is killed. (That loses what the disk and the
# page cache held, but no cache line: as on a platform with eADR.)

# qemu_command FOLDER: sets qemu, the command that runs the machine of that folder, where everything
# is that it leaves: memory, console.log, exchange/status. Its output is that of exchange/command.
qemu_command() {
    local folder=$1
    local low=2 # GiB below the hole under 4 GiB that qemu's q35 leaves for devices
    local total=$((memory_gib + pmem_gib[0] + pmem_gib[1]))
    local second=$((4 + pmem_gib[0]))
    ((memory_gib > low)) || fail "the machine wants more than $low GiB of memory"
    # Not a thread for each processor: kernels, which patch themselves, died of it at some boots.
    local accelerator=tcg,thread=single
    # A KVM without the processor's own virtualization (PVM) runs no ordinary kernel.
    if [[ -w /dev/kvm ]] && grep -qwE 'vmx|svm' /proc/cpuinfo; then accelerator=kvm; fi
    local -a boot=(console=ttyS0 quiet panic=-1 mitigations=off "ingot.root=$root"
        "memmap=${pmem_gib[0]}G!4G" "memmap=${pmem_gib[1]}G!${second}G")
    local share=local,security_model=none
    # It ends with whoever started it, however that ends.
    qemu=(setpriv --pdeathsig KILL qemu-system-x86_64 -nodefaults -display none -no-reboot
        -machine q35,memory-backend=memory -accel "$accelerator" -cpu max -smp "$cpus"
        -m "${total}G"
        -object "memory-backend-file,id=memory,size=${total}G,mem-path=$folder/memory,share=on"
        -kernel "$kernel/vmlinuz" -initrd "$kernel/initramfs" -append "${boot[*]}"
        -serial "file:$folder/console.log"
        -drive "file=$disk,format=raw,if=virtio,readonly=on"
        -device virtio-rng-pci -device virtio-serial-pci
        -chardev stdio,id=command,signal=off -device virtconsole,chardev=command
        -virtfs "$share,path=$root,mount_tag=checkout,readonly=on"
        -virtfs "$share,path=$kernel/lib/modules,mount_tag=modules,readonly=on"
        -virtfs "$share,path=$folder/exchange,mount_tag=exchange")
}

# new_machine: makes a folder for one and sets machine to it. It goes with this program.
new_machine() {
    machine=$(mktemp -d "${TMPDIR:-/dev/shm}/ingot-vm-XXXXXX")
    local total=$((memory_gib + pmem_gib[0] + pmem_gib[1]))
    (($(df --output=avail -BG "$machine" | tail -n 1 | tr -dc 0-9) >= total)) ||
        fail "there are less than $total GiB in ${machine%/*}, and the machine may use them all"
    mkdir "$machine/exchange"
    # shellcheck disable=SC2064 # this one
    trap "rm -rf '$machine'" EXIT
}

# run_command FOLDER COMMAND: in a machine on that folder's memory; the result is its status.
run_command() {
    local folder=$1 status=0
    rm -f "$folder/exchange/status"
    echo "$2" >"$folder/exchange/command"
    setpriv --pdeathsig TERM timeout --foreground "${minutes}m" "${qemu[@]}" || status=$?
    if [[ ! -s $folder/exchange/status ]]; then
        tail -n 30 "$folder/console.log" >&2 || true
        fail "the machine ended without a status (qemu's: $status)"
    fi
    return "$(<"$folder/exchange/status")"
}

# run_machine COMMAND: in a new one.
run_machine() {
    new_machine
    qemu_command "$machine"
    run_command "$machine" "$1"
}
