//! crypt(3) of the system's libcrypt: every hash that the machine's own password file may hold (DES, MD5, SHA-2, bcrypt, yescrypt).

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_void};

/// Larger than the `struct crypt_data` of any libcrypt: 32 KiB in libxcrypt, 128 KiB in old glibc.
const SCRATCH_BYTES: usize = 256 * 1024;

#[link(name = "crypt")]
unsafe extern "C" {
    fn crypt_r(phrase: *const c_char, setting: *const c_char, data: *mut c_void) -> *const c_char;
}

/// Hashes `phrase` as `setting` (a stored hash, or its method and salt) says. `None`: the library does not know the method, or the setting is
/// malformed, or one of them holds a NUL. Slow for the methods that mean to be.
pub fn crypt(phrase: &str, setting: &str) -> Option<String> {
    let phrase = CString::new(phrase).ok()?;
    let setting = CString::new(setting).ok()?;
    // In units of 8 bytes: the structure must be aligned.
    let mut scratch = vec![0u64; SCRATCH_BYTES / 8];
    // SAFETY: both strings end in NUL and live through the call; the scratch is zeroed, as crypt_r(3) demands of a fresh structure, larger and
    // as strictly aligned as any it defines.
    let hash = unsafe { crypt_r(phrase.as_ptr(), setting.as_ptr(), scratch.as_mut_ptr().cast()) };
    if hash.is_null() {
        return None;
    }
    // SAFETY: the result points to a NUL-terminated string inside the scratch, which is alive.
    let hash = unsafe { CStr::from_ptr(hash) }.to_str().ok()?.to_owned();
    // Failure tokens: "*0", "*1".
    (!hash.starts_with('*')).then_some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_system() {
        for hash in ["abNANd1rDfiNc", "$1$saltsalt$9xy1btjgzLYfb7hivXtC//"] {
            assert_eq!(crypt("secret", hash).as_deref(), Some(hash));
            assert_ne!(crypt("secreu", hash).as_deref(), Some(hash));
        }
        assert_eq!(crypt("secret", "$nonsense$x"), None);
        assert_eq!(crypt("sec\0ret", "ab"), None);
    }
}
