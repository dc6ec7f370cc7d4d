//! Keys: how a segment is encrypted, and which URLs must therefore never be shared.

use std::{collections::BTreeSet, sync::Arc};

use crate::{canonical::Canonical, identity::hash, limits::MAX_KEY_URLS, reference::look};

/// The URL of a key or licence.
///
/// A type of its own without any conversion to a segment id, so that a key cannot reach the part
/// of the program that talks to peers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyUrl(Arc<str>);

impl KeyUrl {
    pub(crate) fn new(url: Arc<str>) -> Self {
        Self(url)
    }

    /// The URL as text, absolute; also `skd:` and `data:` URLs.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a segment is encrypted: one `EXT-X-KEY` in force for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The encryption, such as `AES-128` or `SAMPLE-AES`; never `NONE`.
    pub method: Arc<str>,
    /// Where the key comes from; `None` where the playlist leaves it out (which it should not).
    pub url: Option<KeyUrl>,
    /// The system that the key belongs to; `identity` where the playlist names none.
    pub format: Arc<str>,
    /// The initialisation vector; `None` means the media sequence number.
    pub iv: Option<u128>,
}

/// Every URL of a presentation that has been seen as a key.
///
/// Remembers keys that left the playlists, and knows a URL again under another access token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUrls {
    seen: BTreeSet<[u8; 16]>,
    /// [`Look::name`](crate::reference::Look::name) of each.
    names: BTreeSet<u32>,
    overflowed: bool,
}

impl KeyUrls {
    /// Whether this URL is that of a key. Always so once more than
    /// [`MAX_KEY_URLS`] keys were seen.
    #[must_use]
    pub fn contains(&self, url: &str) -> bool {
        self.overflowed || (!self.seen.is_empty() && self.seen.contains(&digest(url)))
    }

    /// Whether a URL or reference of this [`Look::name`](crate::reference::Look::name) may be that
    /// of a key: a first look, hundreds of times as fast as [`contains`](Self::contains).
    pub(crate) fn may_contain(&self, name: u32) -> bool {
        let may_be = || name == 0 || self.names.contains(&name) || self.names.contains(&0);
        self.overflowed || (!self.seen.is_empty() && may_be())
    }

    /// Whether there were too many keys to remember, so that nothing can be shared any more.
    #[must_use]
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.seen.len()
    }

    /// Remembers the URL of a key, and says what that changed.
    pub(crate) fn insert(&mut self, url: &KeyUrl) -> Inserted {
        if self.overflowed {
            return Inserted::Known;
        }
        let digest = digest(url.as_str());
        if self.seen.contains(&digest) {
            return Inserted::Known;
        }
        if self.seen.len() == MAX_KEY_URLS {
            self.overflowed = true;
        } else {
            self.seen.insert(digest);
            self.names.insert(look(url.as_str()).name);
        }
        Inserted::New
    }
}

/// What [`KeyUrls::insert`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    Known,
    New,
}

fn digest(url: &str) -> [u8; 16] {
    let canonical = Canonical::new(url, &crate::IdentityConfig::default());
    hash("p2pcdn/key-url/1", &[canonical.to_string().as_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: usize) -> KeyUrl {
        KeyUrl::new(format!("https://keys.example/{n}").into())
    }

    #[test]
    fn a_key_is_known_again_under_another_token() {
        let mut keys = KeyUrls::default();
        assert!(!keys.contains("https://keys.example/k?token=a"));
        keys.insert(&KeyUrl::new("https://keys.example/k?token=a".into()));
        assert!(keys.contains("https://keys.example/k?token=b"));
        assert!(!keys.contains("https://keys.example/k?id=2"));
        assert_eq!(keys.count(), 1);
    }

    #[test]
    fn the_first_look_misses_no_key() {
        let key = "https://keys.example/a/k.bin?token=a";
        let mut keys = KeyUrls::default();
        assert!(!keys.may_contain(look(key).name));
        keys.insert(&KeyUrl::new(key.into()));
        for text in [
            "../a/k.bin",
            "k.bin?token=b",
            "//keys.example:443/a/k.bin#x",
            "k%2Ebin",
            "",
        ] {
            assert!(keys.may_contain(look(text).name), "{text}");
        }
        assert!(!keys.may_contain(look("1.ts").name));
        // One whose name may be written in another way.
        keys.insert(&KeyUrl::new("https://keys.example/%6B".into()));
        assert!(keys.may_contain(look("1.ts").name));
    }

    #[test]
    fn past_the_cap_every_url_counts_as_a_key() {
        let mut keys = KeyUrls::default();
        for n in 0..MAX_KEY_URLS {
            assert_eq!(keys.insert(&key(n)), Inserted::New);
        }
        assert!(!keys.contains("https://cdn.example/a.ts"));
        assert_eq!(keys.insert(&key(0)), Inserted::Known);
        assert!(!keys.overflowed());
        assert_eq!(keys.insert(&key(MAX_KEY_URLS)), Inserted::New);
        assert!(keys.overflowed());
        assert!(keys.contains("https://cdn.example/a.ts"));
    }
}
