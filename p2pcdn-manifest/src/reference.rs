//! What the bytes of a reference tell of it without resolving it.

/// What one look at every byte of a reference tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Length of its path up to and with the last slash.
    pub(crate) dir_len: usize,
    /// Whether all behind that can be taken as it stands: no dots to remove, nothing that would be
    /// encoded.
    pub(crate) is_rest_plain: bool,
    /// Whether all of it can be put behind the directory of its base as it stands: no scheme, no
    /// dots to remove, nothing that would be encoded. Nearly every reference is like this, and
    /// 10,800 of them per reload are worth the shortcut.
    pub(crate) is_plain: bool,
    /// Hash of the last part of its path, so that a URL can be looked up without resolving every
    /// reference. 0 where resolving might change that part: such references are always looked at.
    pub(crate) name: u32,
}

/// Looks at a URL or reference.
#[inline]
pub(crate) fn look(reference: &str) -> Look {
    let bytes = reference.as_bytes();
    // One pass instead of two searches: most references are too short for those to pay.
    let (mut path_len, mut dir_len) = (bytes.len(), 0);
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'/' => dir_len = at + 1,
            b'?' | b'#' => {
                path_len = at;
                break;
            }
            _ => {}
        }
    }
    let (path, query) = bytes.split_at_checked(path_len).unwrap_or((bytes, &[]));
    let (dir, name) = path.split_at_checked(dir_len).unwrap_or((&[], path));
    let is_name_plain = are_all(name, PATH);
    let is_rest_plain = is_name_plain && !name.starts_with(b".") && are_all(query, QUERY);
    Look {
        dir_len,
        is_rest_plain,
        is_plain: is_rest_plain && !path.is_empty() && is_dir_plain(dir),
        name: if is_name_plain { hash(name) } else { 0 },
    }
}

fn is_dir_plain(dir: &[u8]) -> bool {
    dir.is_empty()
        || (are_all(dir, PATH)
            && !dir.starts_with(b"/")
            && !dir.starts_with(b".")
            && !dir.windows(2).any(|pair| pair == b"/."))
}

/// 0 for nothing but dots.
fn hash(name: &[u8]) -> u32 {
    if name.iter().all(|byte| *byte == b'.') {
        return 0;
    }
    // Eight bytes at a time; only compared within this process.
    let mix = |hash: u64, word: u64| {
        (hash ^ word)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    };
    let (words, rest) = name.as_chunks::<8>();
    let hash = words
        .iter()
        .fold(0, |hash, word| mix(hash, u64::from_le_bytes(*word)));
    let rest = rest
        .iter()
        .fold(1, |word, byte| word << 8 | u64::from(*byte));
    let hash = mix(hash, rest);
    let [_, _, _, _, high @ ..] = (hash ^ hash << 32).to_le_bytes();
    u32::from_le_bytes(high).max(1)
}

/// Whether every byte is of the class.
pub(crate) fn are_all(bytes: &[u8], class: u8) -> bool {
    // Without an early end: on the common answer it only costs.
    bytes
        .iter()
        .fold(class, |sum, byte| sum & CLASSES[usize::from(*byte)])
        != 0
}

/// May stand in a path as it is, the slash included.
pub(crate) const PATH: u8 = 1;
/// May stand in a query as it is, the question mark included.
pub(crate) const QUERY: u8 = 2;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0u8;
    loop {
        if byte.is_ascii_alphanumeric() {
            classes[byte as usize] = PATH | QUERY;
        }
        if byte == u8::MAX {
            break;
        }
        byte += 1;
    }
    let both = b"-._~/,=&+@!$()*;";
    let mut at = 0;
    while at < both.len() {
        classes[both[at] as usize] = PATH | QUERY;
        at += 1;
    }
    classes[b'%' as usize] = QUERY;
    classes[b'?' as usize] = QUERY;
    classes[b':' as usize] = QUERY;
    classes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_references_need_no_resolving() {
        for text in [
            "a.ts",
            "a/b.ts?x=/1",
            "a/b/c",
            "a/?",
            "a-b_c~,=&+@!$()*;.ts",
            "a?b%20:c?d",
        ] {
            assert!(look(text).is_plain, "{text}");
        }
        for text in [
            "",
            "?a",
            "/a",
            "./a",
            "a/./b",
            "a/../b",
            "a/.b",
            "a:b",
            "a%20b",
            "a b",
            "a#b",
            "a?b#c",
            "http://a/b",
            "a\\b",
            "é",
            "a?é",
            "a\t",
            "..",
            "//a/b",
        ] {
            assert!(!look(text).is_plain, "{text}");
        }
    }

    #[test]
    fn the_name_is_the_last_part_of_the_path() {
        let name = look("1.ts").name;
        for text in [
            "a/1.ts",
            "https://h/a/../1.ts?x=/2.ts",
            "1.ts#/3.ts",
            "//h/1.ts?a/..",
        ] {
            assert_eq!(look(text).name, name, "{text}");
        }
        for text in ["2.ts", "1.ts.", "x1.ts", "12345678", "123456781.ts"] {
            assert_ne!(look(text).name, name, "{text}");
            assert_ne!(look(text).name, 0, "{text}");
        }
        for text in ["", "a/", "..", "a/...", "a%31.ts", "a b", "a:1", "é"] {
            assert_eq!(look(text).name, 0, "{text}");
        }
    }

    #[test]
    fn the_rest_behind_the_directory_is_looked_at_alone() {
        let rest = |text: &str| (look(text).dir_len, look(text).is_rest_plain);
        assert_eq!(rest("https://h/a.ts?x/y"), (10, true));
        assert_eq!(rest("../a.ts"), (3, true));
        assert_eq!(rest("a/.."), (2, false));
        assert_eq!(rest("a.ts"), (0, true));
    }
}
