//! Memory: what a daemon asks of the allocator.

/// Blocks of this size and more are given back to the system as soon as they are freed.
#[cfg(target_env = "gnu")]
const LARGE: libc::c_int = 1 << 20;

/// Large blocks go back to the system when they are freed. By itself glibc keeps them after the first one was freed, once for each thread: a password
/// check takes 19 MiB, and there are up to 64 threads that may do one. Other C libraries need no such advice. To be called before the first thread.
#[allow(unsafe_code)]
pub fn return_large_blocks() {
    #[cfg(target_env = "gnu")]
    // SAFETY: mallopt only sets a number of the allocator, and M_MMAP_THRESHOLD takes any size below half of a heap (mallopt(3)). Its result
    // says whether the number was taken; if not, more memory is used and nothing else changes.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}
