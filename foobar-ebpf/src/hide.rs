//! Numbers that the compiler knows nothing about, so that it reasons about them as the kernel's verifier does, and such
//! as it is not to move about.

use core::cell::UnsafeCell;

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

/// A number that stays in its place on the stack: the compiler would move it on at each of the many ways out.
pub struct InMemory<T>(UnsafeCell<T>);

impl<T: Copy> InMemory<T> {
    #[inline(always)]
    pub const fn new(number: T) -> Self {
        Self(UnsafeCell::new(number))
    }

    #[inline(always)]
    pub fn get(&self) -> T {
        // SAFETY: the place is this one's own, and initialized.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    pub fn set(&self, number: T) {
        // SAFETY: as for `get`; nobody holds a reference into it.
        unsafe { self.0.get().write_volatile(number) }
    }
}
