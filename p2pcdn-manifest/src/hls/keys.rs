//! `EXT-X-KEY` and `EXT-X-SESSION-KEY`, and which keys are in force.

use std::sync::Arc;

use super::{Resolver, attributes::Attributes, lexer::Lexer, number, variables::Scope};
use crate::{
    error::{ParseError, WarningKind},
    key::{Key, KeyUrl},
    limits::MAX_KEYS_PER_SEGMENT,
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
    let attributes = Attributes::new(value);
    let method = attributes.text("METHOD");
    if method == Some("NONE") {
        return Ok(KeyTag::Clear);
    }
    if method.is_none() {
        lexer.warn(WarningKind::BadAttribute);
    }
    let url = match attributes.text("URI") {
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
    let iv = attributes.text("IV").map(|iv| scope.expand(iv, line));
    let iv = iv.transpose()?;
    let parsed = iv.as_deref().and_then(number::hexadecimal);
    if iv.is_some() && parsed.is_none() {
        lexer.warn(WarningKind::BadAttribute);
    }
    let format = attributes.text("KEYFORMAT").unwrap_or("identity");
    Ok(KeyTag::Key(Key {
        method: method.unwrap_or("UNKNOWN").into(),
        url,
        format: scope.expand(format, line)?.as_ref().into(),
        iv: parsed,
    }))
}

/// The keys in force: one per key format, until replaced or cleared.
#[derive(Default)]
pub(super) struct KeysInForce {
    keys: Vec<Key>,
    /// What the segments share until the next change.
    shared: Option<Arc<[Key]>>,
}

impl KeysInForce {
    pub(super) fn apply(&mut self, tag: KeyTag, lexer: &mut Lexer<'_>) {
        self.shared = None;
        let KeyTag::Key(key) = tag else {
            self.keys.clear();
            return;
        };
        let full = self.keys.len() >= MAX_KEYS_PER_SEGMENT;
        match self.keys.iter_mut().find(|old| old.format == key.format) {
            Some(old) => *old = key,
            None if full => lexer.warn(WarningKind::TooManyKeys),
            None => self.keys.push(key),
        }
    }

    pub(super) fn shared(&mut self) -> Arc<[Key]> {
        let keys = &self.keys;
        self.shared
            .get_or_insert_with(|| keys.as_slice().into())
            .clone()
    }
}
