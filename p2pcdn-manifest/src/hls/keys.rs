//! `EXT-X-KEY` and `EXT-X-SESSION-KEY`, and which keys are in force.

use std::sync::Arc;

use super::{Resolver, attributes::Attributes, lexer::Lexer, number, variables::Scope};
use crate::{
    error::{ParseError, WarningKind},
    key::{Key, KeyUrl},
    limits::{MAX_KEYS_PER_SEGMENT, MAX_SEGMENTS},
};

/// What a key tag says.
pub(super) enum KeyTag {
    /// `METHOD=NONE`.
    Clear,
    /// A key.
    Key(Key),
}

/// Reads a key tag. One that is malformed counts as a key of an unknown method, because to take an
/// encrypted segment for a clear one does more harm than the reverse.
pub(super) fn read(
    value: &str,
    lexer: &mut Lexer<'_>,
    scope: &mut Scope<'_>,
    resolver: &mut Resolver,
) -> Result<KeyTag, ParseError> {
    let line = lexer.number();
    let (mut method, mut uri, mut format, mut iv) = (None, None, None, None);
    for (name, value) in Attributes::new(value).filter(|(_, value)| !value.is_empty()) {
        match name {
            "METHOD" => method = Some(value),
            "URI" => uri = Some(value),
            "KEYFORMAT" => format = Some(value),
            "IV" => iv = Some(value),
            _ => {}
        }
    }
    if method == Some("NONE") {
        return Ok(KeyTag::Clear);
    }
    if method.is_none() {
        lexer.warn(WarningKind::BadAttribute);
    }
    let url = match uri {
        Some(uri) => {
            let uri = scope.expand(uri, line)?;
            let resolved = resolver.resolve(&uri)?.map(|resolved| resolved.url);
            // A key's URL is worth refusing even where it cannot be fetched.
            Some(KeyUrl::new(resolved.unwrap_or_else(|| Arc::from(&*uri))))
        }
        None => {
            lexer.warn(WarningKind::KeyWithoutUrl);
            None
        }
    };
    let iv = iv.map(|iv| scope.expand(iv, line)).transpose()?;
    let parsed = iv.as_deref().and_then(number::hexadecimal);
    if iv.is_some() && parsed.is_none() {
        lexer.warn(WarningKind::BadAttribute);
    }
    let format = scope.expand(format.unwrap_or("identity"), line)?;
    Ok(KeyTag::Key(Key {
        method: method.unwrap_or("UNKNOWN").into(),
        url,
        format: format.as_ref().into(),
        iv: parsed,
    }))
}

/// Remembers the URL of a key, so that it is never shared. Some packagers repeat all keys before
/// each segment.
pub(super) fn remember(
    tag: &KeyTag,
    key_urls: &mut Vec<KeyUrl>,
    line: u32,
) -> Result<(), ParseError> {
    if let KeyTag::Key(key) = tag
        && let Some(url) = &key.url
        && !key_urls
            .iter()
            .rev()
            .take(MAX_KEYS_PER_SEGMENT)
            .any(|known| known == url)
    {
        if key_urls.len() >= MAX_SEGMENTS {
            return Err(ParseError::TooMany { line });
        }
        key_urls.push(url.clone());
    }
    Ok(())
}

/// The keys in force: one per key format, until replaced or cleared.
#[derive(Default)]
pub(super) struct KeysInForce {
    keys: Vec<Key>,
    /// What the segments share until the next change.
    shared: Option<Arc<[Key]>>,
}

impl From<&Arc<[Key]>> for KeysInForce {
    fn from(shared: &Arc<[Key]>) -> Self {
        Self {
            keys: shared.to_vec(),
            shared: Some(shared.clone()),
        }
    }
}

impl KeysInForce {
    /// Whether that changed anything.
    pub(super) fn apply(&mut self, tag: KeyTag, lexer: &mut Lexer<'_>) -> bool {
        let KeyTag::Key(key) = tag else {
            let changed = !self.keys.is_empty();
            self.keys.clear();
            self.shared = self.shared.take().filter(|_| !changed);
            return changed;
        };
        let full = self.keys.len() >= MAX_KEYS_PER_SEGMENT;
        match self.keys.iter_mut().find(|old| old.format == key.format) {
            Some(old) if *old == key => return false,
            Some(old) => *old = key,
            None if full => {
                lexer.warn(WarningKind::TooManyKeys);
                return false;
            }
            None => self.keys.push(key),
        }
        self.shared = None;
        true
    }

    /// Those in force, for whatever comes until the next change.
    pub(super) fn shared(&mut self, resolver: &mut Resolver) -> Result<Arc<[Key]>, ParseError> {
        if let Some(shared) = &self.shared {
            return Ok(shared.clone());
        }
        // Else a short tag before each segment would repeat a long list of keys.
        resolver.spend(size_of_val(&*self.keys))?;
        let shared: Arc<[Key]> = self.keys.as_slice().into();
        Ok(self.shared.insert(shared).clone())
    }
}
