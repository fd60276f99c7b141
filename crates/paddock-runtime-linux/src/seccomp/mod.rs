//! The filter of system calls, built as BPF at each start (some microseconds, no library).
//!
//! Default is EPERM. Calls newer than the list answer ENOSYS, so that C libraries fall back to older ones, and so
//! does `clone3`, whose flags a filter cannot see. Foreign architectures and x32 numbers are refused.

mod syscalls;

use libc::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JGT, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, ENOSYS,
    EPERM, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, sock_filter,
};

/// `AUDIT_ARCH_X86_64` and `AUDIT_ARCH_AARCH64` of linux/audit.h.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

/// Bit of x32 calls on x86-64.
const X32: u32 = 0x4000_0000;
/// The clone flags that make namespaces.
const CLONE_NAMESPACES: u32 = 0x7E02_0000;
/// The personalities that change nothing of security (plain, Linux32, their UNAME26 forms, and "ask").
const PERSONALITIES: [u32; 5] = [0, 8, 0x20000, 0x20008, 0xFFFF_FFFF];
/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;

const ALLOW: u32 = SECCOMP_RET_ALLOW;
const REFUSE: u32 = SECCOMP_RET_ERRNO | EPERM.cast_unsigned();
const NOT_THERE: u32 = SECCOMP_RET_ERRNO | ENOSYS.cast_unsigned();

pub(crate) fn filter() -> Vec<sock_filter> {
    let mut filter = vec![
        load(ARCH),
        jump(BPF_JEQ, ARCHITECTURE, 1, 0),
        give(SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
        jump(BPF_JGE, X32, 0, 1),
        give(REFUSE),
    ];
    filter.extend([jump(BPF_JEQ, number(libc::SYS_clone3), 0, 1), give(NOT_THERE)]);
    filter.extend([
        jump(BPF_JEQ, number(libc::SYS_clone), 0, 5),
        load(FIRST_ARGUMENT),
        instruction(BPF_ALU | BPF_AND | BPF_K, 0, 0, CLONE_NAMESPACES),
        jump(BPF_JEQ, 0, 0, 1),
        give(ALLOW),
        give(REFUSE),
    ]);
    filter.extend([
        jump(BPF_JEQ, number(libc::SYS_socket), 0, 4),
        load(FIRST_ARGUMENT),
        jump(BPF_JEQ, libc::AF_VSOCK.cast_unsigned(), 0, 1),
        give(REFUSE),
        give(ALLOW),
    ]);
    filter.push(jump(BPF_JEQ, number(libc::SYS_personality), 0, 2 + 2 * PERSONALITIES.len()));
    filter.push(load(FIRST_ARGUMENT));
    for value in PERSONALITIES {
        filter.extend([jump(BPF_JEQ, value, 0, 1), give(ALLOW)]);
    }
    filter.push(give(REFUSE));
    let allowed = syscalls::allowed();
    for (first, last) in ranges(&allowed) {
        filter.extend([jump(BPF_JGE, first, 0, 2), jump(BPF_JGT, last, 1, 0), give(ALLOW)]);
    }
    let newest = allowed.last().copied().unwrap_or(0);
    filter.extend([jump(BPF_JGT, newest, 0, 1), give(NOT_THERE), give(REFUSE)]);
    filter
}

/// Joins neighbouring numbers.
fn ranges(sorted: &[u32]) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in sorted {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 >= number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

fn number(syscall: libc::c_long) -> u32 {
    u32::try_from(syscall).expect("numbers of system calls are small and positive")
}

fn instruction(code: u32, jt: usize, jf: usize, k: u32) -> sock_filter {
    let short = |value: usize| u8::try_from(value).expect("the filter's jumps are short");
    let code = u16::try_from(code).expect("instruction codes have 16 bits");
    sock_filter { code, jt: short(jt), jf: short(jf), k }
}

fn load(offset: u32) -> sock_filter {
    instruction(BPF_LD | BPF_W | BPF_ABS, 0, 0, offset)
}

fn jump(test: u32, value: u32, if_true: usize, if_false: usize) -> sock_filter {
    instruction(BPF_JMP | test | BPF_K, if_true, if_false, value)
}

fn give(action: u32) -> sock_filter {
    instruction(BPF_RET | BPF_K, 0, 0, action)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the filter as the kernel would, for the instructions it uses.
    fn run(arch: u32, number: u32, argument: u32) -> u32 {
        let filter = filter();
        let (mut at, mut value) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = filter[at];
            let code = u32::from(code);
            at += 1;
            let truth = match code & 0xf0 {
                _ if code & 7 == BPF_RET => return k,
                _ if code & 7 == BPF_LD => {
                    value = [number, arch, 0, 0, argument][k as usize / 4];
                    continue;
                }
                _ if code & 7 == BPF_ALU => {
                    value &= k;
                    continue;
                }
                test if test == BPF_JEQ => value == k,
                test if test == BPF_JGE => value >= k,
                _ => value > k,
            };
            at += usize::from(if truth { jt } else { jf });
        }
    }

    fn ask(syscall: libc::c_long, argument: u32) -> u32 {
        run(ARCHITECTURE, number(syscall), argument)
    }

    #[test]
    fn ordinary_calls_pass_and_dangerous_ones_do_not() {
        for syscall in
            [libc::SYS_read, libc::SYS_execve, libc::SYS_wait4, libc::SYS_futex, libc::SYS_exit_group]
        {
            assert_eq!(ask(syscall, 0), ALLOW, "{syscall}");
        }
        let refused = [
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_keyctl,
            libc::SYS_init_module,
            libc::SYS_perf_event_open,
            libc::SYS_open_by_handle_at,
        ];
        for syscall in refused {
            assert_eq!(ask(syscall, 0), REFUSE, "{syscall}");
        }
    }

    #[test]
    fn arguments_decide_where_they_matter() {
        assert_eq!(ask(libc::SYS_clone, 0x11), ALLOW);
        assert_eq!(ask(libc::SYS_clone, libc::CLONE_NEWUSER.cast_unsigned()), REFUSE);
        assert_eq!(ask(libc::SYS_clone3, 0), NOT_THERE);
        assert_eq!(ask(libc::SYS_socket, libc::AF_INET.cast_unsigned()), ALLOW);
        assert_eq!(ask(libc::SYS_socket, libc::AF_VSOCK.cast_unsigned()), REFUSE);
        assert_eq!(ask(libc::SYS_personality, 8), ALLOW);
        assert_eq!(ask(libc::SYS_personality, 0x0040_0000), REFUSE);
    }

    #[test]
    fn foreign_and_unknown_calls_are_refused() {
        assert_eq!(run(0x4000_0003, 1, 0), SECCOMP_RET_KILL_PROCESS);
        assert_eq!(run(ARCHITECTURE, X32 | 1, 0), REFUSE);
        assert_eq!(ask(9999, 0), NOT_THERE);
    }
}
