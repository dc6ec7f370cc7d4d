//! The signing key in a file.

use std::{
    fs::OpenOptions,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use p2pcdn::{KeyError, PublicKey, SigningKey};

/// Why a key file is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("{path} cannot be read: {error}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It cannot be written; a file that is there is never overwritten.
    #[error("{path} cannot be written: {error}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// Its text is no key.
    #[error("{path} holds no signing key: {error}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: KeyError,
    },
    /// The system gives no random bytes.
    #[error("no source of randomness")]
    Randomness,
}

/// Makes a new key and writes it, as 64 hexadecimal digits, to a new file that only its owner can
/// read.
///
/// # Errors
///
/// When the file exists or cannot be written.
pub fn generate_key(path: &Path) -> Result<PublicKey, KeyFileError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|_| KeyFileError::Randomness)?;
    let key = SigningKey::from_random(secret);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = |error| KeyFileError::Write {
        path: path.to_owned(),
        error,
    };
    let mut file = options.open(path).map_err(write)?;
    writeln!(file, "{}", key.to_hex()).map_err(write)?;
    Ok(key.public_key())
}

/// Reads a key that [`generate_key`] wrote.
///
/// # Errors
///
/// When the file cannot be read or holds something else.
pub fn read_key(path: &Path) -> Result<SigningKey, KeyFileError> {
    let text = std::fs::read_to_string(path).map_err(|error| KeyFileError::Read {
        path: path.to_owned(),
        error,
    })?;
    text.trim()
        .parse()
        .map_err(|error| KeyFileError::Malformed {
            path: path.to_owned(),
            error,
        })
}
