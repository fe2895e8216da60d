//! A hint to the processor that a value will be read soon. It changes nothing and cannot fail, so it is safe to call.
//! It is in this module because the intrinsic is an `unsafe` function.

/// Asks for all cache lines of `value`. Does nothing on processors without a stable intrinsic for it.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let first = std::ptr::from_ref(value).cast::<i8>();
        for offset in (0..size_of::<T>()).step_by(64) {
            // SAFETY: the address lies within `value`; a prefetch reads nothing that a program could see.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(first.add(offset)) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
