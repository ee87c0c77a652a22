//! A number that the compiler knows nothing about, so that it reasons about it as the kernel's verifier does.

/// Keeps the compiler from seeing through a number.
#[inline(always)]
pub fn hide(number: usize) -> usize {
    #[cfg(target_arch = "bpf")]
    let mut number = number;
    // SAFETY: moves a register to itself.
    #[cfg(target_arch = "bpf")]
    unsafe {
        core::arch::asm!("{0} = {0}", inout(reg) number, options(pure, nomem, nostack));
    }
    number
}
