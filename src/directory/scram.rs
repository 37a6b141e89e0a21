//! What a directory keeps for SCRAM-SHA-1 and SCRAM-SHA-256: no password, only keys made from it. Source: RFC 5802 section 3, RFC 7677, RFC 5803
//! (the form of `authPassword`), RFC 4013 (SASLprep).

use std::borrow::Cow;
use std::num::NonZeroU32;

use argon2::password_hash::rand_core::{OsRng, RngCore};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, hmac, pbkdf2};

use super::password::{self, PasswordError};

/// Passes for new keys: the client pays for them at each login, whoever steals the directory for each guess.
const PASSES: u32 = 100_000;
/// The most passes that stored keys may ask of a client, and the least that RFC 7677 allows.
const MAX_PASSES: u32 = 10_000_000;
const MIN_PASSES: u32 = 4096;
/// Bytes of a new salt.
const SALT: usize = 16;

/// A secret of the instance.
pub type Bytes32 = [u8; 32];

/// The hash function of a mechanism. Whoever knows one password has keys of each, with salts of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SCRAM-SHA-1 (RFC 5802), for clients that know no other.
    Sha1,
    /// SCRAM-SHA-256 (RFC 7677).
    Sha256,
}

impl Hash {
    /// Each, the better one first.
    pub const ALL: [Hash; 2] = [Hash::Sha256, Hash::Sha1];

    /// The name of the mechanism, which is that of the scheme in `authPassword` (RFC 5803 section 2).
    pub fn scheme(self) -> &'static str {
        match self {
            Hash::Sha1 => "SCRAM-SHA-1",
            Hash::Sha256 => "SCRAM-SHA-256",
        }
    }

    /// Bytes of a digest, a key or a proof.
    pub fn size_bytes(self) -> usize {
        match self {
            Hash::Sha1 => digest::SHA1_OUTPUT_LEN,
            Hash::Sha256 => digest::SHA256_OUTPUT_LEN,
        }
    }

    fn digest(self, bytes: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => &digest::SHA256,
        };
        digest::digest(algorithm, bytes).as_ref().to_vec()
    }

    /// HMAC (RFC 2104).
    fn sign(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
        };
        hmac::sign(&hmac::Key::new(algorithm, key), message).as_ref().to_vec()
    }

    /// `Hi` of RFC 5802 section 2.2.
    fn salted(self, password: &str, salt: &[u8], passes: u32) -> Vec<u8> {
        let algorithm = match self {
            Hash::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Hash::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        };
        let mut salted = vec![0; self.size_bytes()];
        let count = NonZeroU32::new(passes).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(algorithm, count, salt, password.as_bytes(), &mut salted);
        salted
    }
}

/// The keys of one user for one mechanism.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// Of which mechanism.
    pub hash: Hash,
    /// What the client mixes with its password.
    pub salt: Vec<u8>,
    /// How often it does.
    pub passes: u32,
    /// Tells a right proof of the client from a wrong one.
    pub stored_key: Vec<u8>,
    /// Signs the answer, so that the client knows the server.
    pub server_key: Vec<u8>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({}, {} passes)", self.hash.scheme(), self.passes)
    }
}

impl Keys {
    /// Keys for a new password, with a salt of their own.
    ///
    /// # Errors
    /// [`PasswordError::Unfit`] for a password that is empty or overlong, [`PasswordError::Character`] for one that mail programs could not send.
    pub fn create(hash: Hash, password: &str) -> Result<Keys, PasswordError> {
        Keys::derive(hash, password, random::<SALT>().to_vec(), PASSES)
    }

    /// Keys for a password that the directory holds in the clear; the same each time, as keys that are stored are.
    ///
    /// # Errors
    /// As [`Keys::create`].
    pub(super) fn of_clear(hash: Hash, password: &str, secret: &Bytes32, userid: &str) -> Result<Keys, PasswordError> {
        Keys::derive(hash, password, salt_of(hash, secret, userid), PASSES)
    }

    fn derive(hash: Hash, password: &str, salt: Vec<u8>, passes: u32) -> Result<Keys, PasswordError> {
        let prepared = prepare(password)?;
        let salted = hash.salted(&prepared, &salt, passes);
        let stored_key = hash.digest(&hash.sign(&salted, b"Client Key"));
        Ok(Keys { hash, salt, passes, stored_key, server_key: hash.sign(&salted, b"Server Key") })
    }

    /// Keys that fit no password, for somebody who does not exist or has none. Salt and passes are the same each time, and of the form that
    /// [`Keys::create`] gives: asking tells nothing.
    pub(super) fn of_nobody(hash: Hash, secret: &Bytes32, userid: &str) -> Keys {
        let key = || random::<32>().get(..hash.size_bytes()).unwrap_or_default().to_vec();
        Keys { hash, salt: salt_of(hash, secret, userid), passes: PASSES, stored_key: key(), server_key: key() }
    }

    /// The keys in a value of `authPassword`: `SCRAM-SHA-1$PASSES:SALT$STOREDKEY:SERVERKEY` or such of SCRAM-SHA-256, the three in base64. `None`: another scheme.
    ///
    /// # Errors
    /// [`PasswordError::Malformed`].
    pub fn parse(value: &str) -> Result<Option<Keys>, PasswordError> {
        let mut parts = value.trim().splitn(3, '$').map(str::trim);
        let scheme = parts.next().unwrap_or_default();
        let Some(hash) = Hash::ALL.into_iter().find(|hash| hash.scheme().eq_ignore_ascii_case(scheme)) else {
            return Ok(None);
        };
        let keys = (|| {
            let (passes, salt) = parts.next()?.split_once(':')?;
            let (stored, server) = parts.next()?.split_once(':')?;
            let passes = passes.parse().ok().filter(|passes| (MIN_PASSES..=MAX_PASSES).contains(passes))?;
            let salt = STANDARD.decode(salt).ok().filter(|salt| !salt.is_empty())?;
            let key = |text: &str| STANDARD.decode(text).ok().filter(|key| key.len() == hash.size_bytes());
            Some(Keys { hash, salt, passes, stored_key: key(stored)?, server_key: key(server)? })
        })();
        keys.map(Some).ok_or(PasswordError::Malformed(hash.scheme()))
    }

    /// The value of `authPassword`.
    pub fn value(&self) -> String {
        let text = |bytes: &[u8]| STANDARD.encode(bytes);
        let (salt, stored, server) = (text(&self.salt), text(&self.stored_key), text(&self.server_key));
        format!("{}${}:{salt}${stored}:{server}", self.hash.scheme(), self.passes)
    }

    /// Is this the proof of somebody who knows the password? `auth_message` as RFC 5802 section 3 makes it.
    pub fn proves(&self, auth_message: &[u8], proof: &[u8]) -> bool {
        let mut key = self.hash.sign(&self.stored_key, auth_message);
        if proof.len() != key.len() {
            return false;
        }
        for (byte, other) in key.iter_mut().zip(proof) {
            *byte ^= other;
        }
        password::same(&self.hash.digest(&key), &self.stored_key)
    }

    /// What shows the client that the server knows the user.
    pub fn server_signature(&self, auth_message: &[u8]) -> Vec<u8> {
        self.hash.sign(&self.server_key, auth_message)
    }
}

/// A salt that does not have to be stored. Those of the two mechanisms are as different as stored ones are.
fn salt_of(hash: Hash, secret: &Bytes32, userid: &str) -> Vec<u8> {
    let about = match hash {
        Hash::Sha1 => format!("{}\0{userid}", hash.scheme()),
        Hash::Sha256 => userid.to_owned(),
    };
    Hash::Sha256.sign(secret, about.as_bytes()).get(..SALT).unwrap_or_default().to_vec()
}

/// A password as SCRAM takes it (RFC 4013).
///
/// # Errors
/// [`PasswordError::Unfit`], [`PasswordError::Character`].
pub(super) fn prepare(password: &str) -> Result<Cow<'_, str>, PasswordError> {
    password::check_length(password)?;
    let refused = |text: &str| stringprep::saslprep(text).is_err();
    stringprep::saslprep(password).map_err(|_| {
        // A single character; else the directions of writing are mixed (RFC 3454 section 6), where the first one stands for it.
        let bad = password.chars().find(|c| refused(c.encode_utf8(&mut [0; 4]))).or_else(|| password.chars().next());
        PasswordError::Character(bad.unwrap_or_default())
    })
}

/// Random bytes of the system.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchanges of RFC 5802 section 5 and RFC 7677 section 3: user "user", password "pencil". What is signed, the proof, the signature.
    fn rfc(hash: Hash) -> (Keys, [&'static str; 3]) {
        let (salt, exchange) = match hash {
            Hash::Sha1 => (
                "QSXCR+Q6sek8bf92",
                [
                    "n=user,r=fyko+d2lbbFgONRv9qkxdawL,\
                    r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096,\
                    c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j",
                    "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                    "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
                ],
            ),
            Hash::Sha256 => (
                "W22ZaJ0SNY7soEsUEjb6gQ==",
                [
                    "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                    r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                    c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
                    "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
                ],
            ),
        };
        (Keys::derive(hash, "pencil", STANDARD.decode(salt).unwrap(), 4096).unwrap(), exchange)
    }

    #[test]
    fn the_examples_of_the_rfcs() {
        for hash in Hash::ALL {
            let (keys, [message, proof, signature]) = rfc(hash);
            let (message, proof) = (message.as_bytes(), STANDARD.decode(proof).unwrap());
            assert!(keys.proves(message, &proof));
            assert!(!keys.proves(&message[1..], &proof));
            assert!(!keys.proves(message, &vec![0; proof.len()]));
            for other in [&proof[1..], &[], &[&proof[..], &[0]].concat()] {
                assert!(!keys.proves(message, other));
            }
            assert_eq!(STANDARD.encode(keys.server_signature(message)), signature);
        }
    }

    #[test]
    fn values_are_read_as_written() {
        for (hash, begins) in [
            (Hash::Sha1, "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$"),
            (Hash::Sha256, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"),
        ] {
            let (keys, _) = rfc(hash);
            let value = keys.value();
            assert!(value.starts_with(begins), "{value}");
            assert_eq!(Keys::parse(&value), Ok(Some(keys)));
            let other = value.split_once('$').unwrap().1;
            let swapped = if hash == Hash::Sha1 { "SCRAM-SHA-256" } else { "SCRAM-SHA-1" };
            // Keys of one length are none of the other.
            assert_eq!(Keys::parse(&format!("{swapped}${other}")), Err(PasswordError::Malformed(swapped)));
            for wrong in ["", "$4095:AA==", "$4096:AA==$AA==:AA==", "$4096:$x:y", "$99999999:AA==$x:y"] {
                let value = format!("{}{wrong}", hash.scheme().to_lowercase());
                assert_eq!(Keys::parse(&value), Err(PasswordError::Malformed(hash.scheme())), "{value}");
            }
        }
        assert_eq!(Keys::parse("MD5$x$y"), Ok(None));
        assert_eq!(Keys::parse("SCRAM-SHA-512$x$y"), Ok(None));
    }

    #[test]
    fn a_password_is_prepared() {
        // RFC 4013 section 3: a soft hyphen maps to nothing, U+2168 is IX; a control character is prohibited.
        let keys = |password: &str| Keys::derive(Hash::Sha256, password, b"salt".to_vec(), 4096);
        assert_eq!(keys("I\u{ad}X"), keys("IX"));
        assert_eq!(keys("\u{2168}"), keys("IX"));
        assert_eq!(keys("a\u{7}"), Err(PasswordError::Character('\u{7}')));
        assert_eq!(keys("ab\u{1f600}"), Err(PasswordError::Character('\u{1f600}')));
        assert_eq!(keys("\u{627}1"), Err(PasswordError::Character('\u{627}')));
        assert_eq!(keys(""), Err(PasswordError::Unfit));
        let clear = |secret, userid| Keys::of_clear(Hash::Sha256, "x", &[secret; 32], userid).unwrap();
        assert_eq!(clear(1, "joe"), clear(1, "joe"));
        assert!(clear(1, "joe").salt != clear(1, "ann").salt && clear(1, "joe").salt != clear(2, "joe").salt);
    }

    #[test]
    fn nobody_has_the_same_salt_each_time() {
        let nobody = |hash, userid| Keys::of_nobody(hash, &[7; 32], userid);
        for hash in Hash::ALL {
            let (one, two) = (nobody(hash, "joe"), nobody(hash, "joe"));
            assert_eq!((&one.salt, one.passes, one.stored_key.len()), (&two.salt, two.passes, hash.size_bytes()));
            assert_ne!(one.salt, nobody(hash, "jo").salt);
        }
        assert_ne!(nobody(Hash::Sha1, "joe").salt, nobody(Hash::Sha256, "joe").salt);
    }
}
